"""Faults done to the real agent, and what it promised to do about them."""
