"""The agent's entities in the real Home Assistant: `make test-homeassistant`."""
