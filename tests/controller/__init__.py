"""The controller, as commands."""
