"""The edgepose agent: reads a camera, finds every person's pose with OpenVINO, publishes over MQTT."""

__version__ = "0.1.0"
