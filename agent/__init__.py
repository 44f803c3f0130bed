"""The edgepose agent: reads a camera, finds every person's pose with OpenVINO, publishes over MQTT."""

import sys

__version__ = "0.1.0"

# `import openvino` otherwise starts a process that reports the import to its makers and leaves files in the home
# folder. OpenVINO runs without that package; a box that watches people tells nobody anything it was not asked to.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
