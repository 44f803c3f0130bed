"""Networks and sample clips: the catalogue, the cache folder, and the tools that fill and inspect it."""

import agent.errors  # noqa: F401 - keeps OpenVINO from reporting its import, so it must come before any `import openvino`
