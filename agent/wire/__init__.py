"""What goes over the broker: topics and messages. Imports the standard library and pydantic only."""
