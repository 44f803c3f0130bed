"""The study's measurement."""
