"""Building beside the engine in use without taking the processor from it."""

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

BEHIND: Final = 5
"""Steps of niceness: a quarter of the processor where both want all of it, and whatever the engine in use leaves. With
ten it would be a tenth, and a box that is too slow for its engine could not switch to a faster one in time."""


@contextmanager
def behind() -> Iterator[None]:
    """Run this thread, and the threads it causes to be, at a lower priority; at the end all are as the others.

    The threads of a network are made while it compiles, and take over the niceness of whoever makes them: left there,
    the new engine would run behind everything else for ever. Only root, and a process whose LimitNICE allows it, may
    undo that; elsewhere nothing changes.
    """
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    lowered = min(own + BEHIND, 19)
    if not _may_return_to(own):
        yield
        return
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), lowered)
    try:
        yield
    finally:
        for task in Path("/proc/self/task").iterdir():
            with suppress(OSError):  # it has ended meanwhile
                if os.getpriority(os.PRIO_PROCESS, int(task.name)) == lowered:
                    os.setpriority(os.PRIO_PROCESS, int(task.name), own)


def _may_return_to(niceness: int) -> bool:
    allowed, _ = resource.getrlimit(resource.RLIMIT_NICE)
    return os.geteuid() == 0 or allowed == resource.RLIM_INFINITY or 20 - niceness <= allowed
