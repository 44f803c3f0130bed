"""What stands between a box and poses on the broker, and the cure."""
