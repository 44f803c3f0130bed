"""What OpenVINO is told when it compiles a network, and where the compiled network is kept."""

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.inference.spec import EngineSpec
from agent.wire.devices import DeviceString

PRECISION_HINT = {"FP32": "f32", "FP16": "f16", "INT8": None}
"""INFERENCE_PRECISION_HINT per requested precision. Left alone, the CPU plugin would run FP32 in BF16."""
BATCH_TIMEOUT_MS = 50
"""How long BATCH waits for the rest of a batch. OpenVINO's own second would be the latency of a slow camera."""
PLACEMENTS_MAX = 4
"""So many placements of one HETERO device keep their compiled networks; `split` may find another at every start."""


def properties(spec: EngineSpec) -> dict[str, Any]:
    """Properties of the compiled network. HETERO, MULTI, AUTO and BATCH hand them on to the devices they work on."""
    mode = DeviceString.parse(spec.device).mode
    wanted = {
        "PERFORMANCE_HINT": spec.hint.upper(),
        "INFERENCE_PRECISION_HINT": PRECISION_HINT[spec.precision],
        "NUM_STREAMS": spec.streams,
        "PERFORMANCE_HINT_NUM_REQUESTS": spec.requests,
        "INFERENCE_NUM_THREADS": spec.threads,
        # AUTO would start on the processor while it compiles for another device, and move later without a word.
        "ENABLE_STARTUP_FALLBACK": False if mode == "AUTO" else None,
        "AUTO_BATCH_TIMEOUT": str(BATCH_TIMEOUT_MS) if mode == "BATCH" else None,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def cache_folder(cache: Path, device: str, placement: Sequence[str] | None) -> Path:
    """Make the folder of the compiled networks of a device string and a placement, the device of each operation.

    One for each: OpenVINO reuses the blob of HETERO:A,B for HETERO:B,A. Of the folders of placements those used longest
    ago are deleted.
    """
    name = device.replace(":", "_").replace(",", "+")
    if placement is None:
        return cache / name
    digest = hashlib.sha256(",".join(placement).encode()).hexdigest()
    folder = cache / f"{name}.{digest[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    os.utime(folder)
    others = sorted(cache.glob(f"{name}.*"), key=lambda other: other.stat().st_mtime_ns, reverse=True)
    for other in others[PLACEMENTS_MAX:]:
        shutil.rmtree(other, ignore_errors=True)
    return folder
