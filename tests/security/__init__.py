"""What holds against people who mean harm."""
