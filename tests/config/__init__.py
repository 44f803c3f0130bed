"""The configuration and its faults, the log."""
