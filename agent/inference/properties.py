"""What OpenVINO is told when it compiles a network, and where the compiled network is kept."""

import hashlib
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import openvino as ov

from agent.inference.spec import EngineSpec
from agent.wire.devices import DeviceString

Text = dict[str, str]
"""Every plugin reads text; the GPU's takes no number for NUM_STREAMS."""

PRECISION_HINT = {"FP32": "f32", "FP16": "f16", "INT8": None}
"""INFERENCE_PRECISION_HINT per requested precision. Left alone, the CPU plugin would run FP32 in BF16."""
BATCH_TIMEOUT_MS = 50
"""How long BATCH waits for the rest of a batch. OpenVINO's own second would be the latency of a slow camera."""
PLACEMENTS_MAX = 4
"""So many placements of one HETERO device keep their compiled networks; `split` may find another at every start."""
_KNOWN: WeakKeyDictionary[ov.Core, dict[str, Collection[str]]] = WeakKeyDictionary()


def properties(core: ov.Core, spec: EngineSpec) -> dict[str, Any]:
    """What OpenVINO is told of a spec whose devices are here: each device what it can be told, each mode its own.

    HETERO, MULTI and AUTO get the properties of each of their devices under its name: what one device refuses would
    fail the network, or make MULTI go on without that device in silence.
    """
    device = DeviceString.parse(spec.device)
    members = device.among(core.available_devices)
    match device.mode:
        case None:
            return _of_device(core, members[0], spec) | _unbatched(core, members[0])
        case "BATCH":
            return _of_device(core, members[0], spec) | {"AUTO_BATCH_TIMEOUT": str(BATCH_TIMEOUT_MS)}
        case "HETERO":
            return {"DEVICE_PROPERTIES": {name: _in_pieces(core, name, spec) for name in members}}
        case "AUTO" | "MULTI":
            each = {name: _of_device(core, name, spec) | _unbatched(core, name) for name in members}
            return _of_mode(core, device.mode, spec) | {"DEVICE_PROPERTIES": each}


def _of_device(core: ov.Core, name: str, spec: EngineSpec) -> Text:
    streams = spec.streams
    if streams is None and spec.hint == "throughput" and _batches(core, name):
        # What the hint comes to, said outright: taken from the cache the GPU plugin would make it one stream.
        _fewest, streams = core.get_property(name, "RANGE_FOR_STREAMS")
    wanted = {
        "PERFORMANCE_HINT": spec.hint.upper(),
        "INFERENCE_PRECISION_HINT": PRECISION_HINT[spec.precision],
        "NUM_STREAMS": _text(streams),
        "PERFORMANCE_HINT_NUM_REQUESTS": _text(spec.requests),
        "INFERENCE_NUM_THREADS": _text(spec.threads),
        # Pinned, two agents on one box would share the same cores and leave the others idle.
        "ENABLE_CPU_PINNING": "NO",
    }
    return _supported(core, name, wanted)


def _unbatched(core: ov.Core, name: str) -> Text:
    """For a device that OpenVINO would gather frames for under the throughput hint, a second long: it is not to.

    Who wants batches says BATCH:GPU(4).
    """
    return {"ALLOW_AUTO_BATCHING": "NO"} if _batches(core, name) else {}


def _in_pieces(core: ov.Core, name: str, spec: EngineSpec) -> Text:
    """HETERO keeps ALLOW_AUTO_BATCHING to itself: such a device gets no throughput hint, but the streams it means."""
    told = _of_device(core, name, spec)
    return told | {"PERFORMANCE_HINT": "LATENCY"} if _batches(core, name) else told


def _of_mode(core: ov.Core, mode: str, spec: EngineSpec) -> Text:
    wanted = {
        "PERFORMANCE_HINT": spec.hint.upper(),  # MULTI would give its devices one of its own
        "PERFORMANCE_HINT_NUM_REQUESTS": _text(spec.requests),
        # AUTO would start on the processor while it compiles for another device, and move later without a word.
        "ENABLE_STARTUP_FALLBACK": "NO",
    }
    return _supported(core, mode, wanted)


def _batches(core: ov.Core, name: str) -> bool:
    return "OPTIMAL_BATCH_SIZE" in _known(core, name)


def _supported(core: ov.Core, name: str, wanted: Mapping[str, str | None]) -> Text:
    """What is wanted of a device or mode, as far as its plugin says that it can be told."""
    known = _known(core, name)
    return {key: value for key, value in wanted.items() if value is not None and key in known}


def _known(core: ov.Core, name: str) -> Collection[str]:
    """What a plugin can be told, asked once: OpenVINO 2026.4 never frees the names in its answer, 3 kB each time."""
    known = _KNOWN.setdefault(core, {})
    if name not in known:
        try:
            known[name] = frozenset(core.get_property(name, "SUPPORTED_PROPERTIES"))
        except RuntimeError:
            return ()  # a driver that does not answer: AUTO passes the device over, the others tell why they cannot
    return known[name]


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)


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
