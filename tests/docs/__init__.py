"""What the documentation shows, and the tests that keep it true."""
