"""What is configured: the tree of keys, the file that fills it, and its faults in words."""
