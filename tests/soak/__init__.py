"""What takes long: the same thing hundreds of times, and what it leaves behind."""
