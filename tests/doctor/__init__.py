"""What agent doctor finds, and the figures of the host."""
