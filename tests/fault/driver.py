"""The agent with a probe, a fault or another clock built in; runs in the process of the agent.

FAULT_PROBE names a file that gets a line for every result as it is published: seconds on the clock that all processes
share, the frame's arrival on it, seq, and the number the test camera has drawn into the picture. FAULT_SEAM names a
seam of :mod:`tests.fault.seams` that raises once, the next time it is passed after the file FAULT_ARM is there.
FAULT_CLOCK names a file with seconds by which the clock is wrong.
"""

import importlib
import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from functools import wraps
from pathlib import Path
from typing import Any, Self

from agent.pipeline import Result
from tests.capture.pictures import WIDTH, number_of


class InjectedError(Exception):
    """Nobody expects it."""


def probe(path: Path) -> None:
    """Write down every result."""
    assembly: Any = importlib.import_module("agent.assembly")
    encode: Callable[[Result, str], bytes] = assembly.encode_keypoints
    file = path.open("a", buffering=1, encoding="ascii")

    def probed(result: Result, device_id: str) -> bytes:
        frame = result.frame
        number = number_of(frame.image) if frame.image.shape[1] == WIDTH else -1
        file.write(f"{time.perf_counter()} {frame.captured_s} {frame.seq} {number}\n")
        return encode(result, device_id)

    assembly.encode_keypoints = probed


def arm(place: str, armed: Path) -> None:
    """Let ``module:name.of.attribute`` raise once; when it did stands in the file beside ``armed``."""
    module, _, names = place.partition(":")
    *owners, name = names.split(".")
    owner: Any = importlib.import_module(module)
    for step in owners:
        owner = getattr(owner, step)
    original: Callable[..., Any] = getattr(owner, name)
    fired, lock = armed.with_suffix(".fired"), threading.Lock()
    done = False

    @wraps(original)
    def seam(*args: Any, **kwargs: Any) -> Any:
        nonlocal done
        if not done and armed.exists():
            with lock:
                first, done = not done, True
            if first:
                fired.write_text(str(time.perf_counter()), encoding="ascii")
                raise InjectedError(f"injected at {place}")
        return original(*args, **kwargs)

    setattr(owner, name, seam)


def bend_clock(path: Path) -> None:
    """Let every module of the agent read a clock that is wrong by as many seconds as the file says."""

    class Bent(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return datetime.now(tz) + timedelta(seconds=float(path.read_text(encoding="ascii")))  # type: ignore[return-value]

    for name, module in list(sys.modules.items()):
        if name.startswith("agent.") and getattr(module, "datetime", None) is datetime:
            module.datetime = Bent  # type: ignore[attr-defined]


def main() -> None:
    """Build in what the environment names, and be the agent."""
    import agent.app  # noqa: PLC0415 - what is bent must have been imported
    from agent.cli import main as be_agent  # noqa: PLC0415

    assert agent.app
    if path := os.environ.get("FAULT_PROBE"):
        probe(Path(path))
    if place := os.environ.get("FAULT_SEAM"):
        arm(place, Path(os.environ["FAULT_ARM"]))
    if path := os.environ.get("FAULT_CLOCK"):
        bend_clock(Path(path))
    be_agent()
