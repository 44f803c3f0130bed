"""The programs as a user starts them: real processes, a real broker, the real network."""
