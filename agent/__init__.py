"""The edgepose agent: reads a camera, finds every person's pose with OpenVINO, publishes over MQTT."""

import os
import sys

__version__ = "0.1.0"

# `import openvino` otherwise starts a process that reports the import to its makers and leaves files in the home
# folder. OpenVINO runs without that package; a box that watches people tells nobody anything it was not asked to.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

# numpy otherwise asks the kernel for huge pages behind arrays of 4 MB and more. They lie in the heap, where the kernel
# later makes whole pages of 2 MB of what has been freed in part: over months a process swells by it, in steps.
os.environ.setdefault("NUMPY_MADVISE_HUGEPAGE", "0")
