"""What the tests of capture share: a listener that waits, a source closed at the end, a reader by script."""

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.capture import CaptureEvent, Frame, Image, Source, open_source
from agent.config.tree import Camera

WAIT_S = 60.0


class Listener:
    """Takes the events of a source; tests wait for the next one."""

    def __init__(self) -> None:
        self._events: queue.Queue[CaptureEvent] = queue.Queue()

    def __call__(self, event: CaptureEvent) -> None:
        self._events.put(event)

    def next(self, timeout_s: float = WAIT_S) -> CaptureEvent:
        """Wait for the next event. Raises queue.Empty when none comes."""
        return self._events.get(timeout=timeout_s)

    def rest(self) -> list[str]:
        """Return the codes of what nobody has taken yet."""
        return [self._events.get_nowait().code for _ in range(self._events.qsize())]


@contextmanager
def opened(listener: Listener | None = None, **camera: Any) -> Iterator[Source]:
    """Open a source of this configuration, and close it."""
    source = open_source(Camera(**camera), resolve_clip=Path, notify=listener or Listener())
    try:
        yield source
    finally:
        source.close()


def next_frame(source: Source) -> Frame:
    """Return the next frame, however many reads it takes."""
    frame = source.read(WAIT_S)
    assert frame is not None, "no frame came"
    return frame


class ScriptedReader:
    """A reader whose pictures the test hands over, one by one."""

    paced = False
    finite = False
    software_because = ""

    def __init__(self) -> None:
        self.period_s = self.position_s = self.arrived_s = 0.0
        self.damaged = 0
        self.pictures: queue.Queue[Image | None] = queue.Queue()
        self.waiting = threading.Semaphore(0)
        self._picture: Image | None = None
        self.closed = threading.Event()

    def grab(self) -> bool:
        self.waiting.release()
        self._picture = self.pictures.get(timeout=WAIT_S)
        self.arrived_s = time.perf_counter()
        return self._picture is not None

    def retrieve(self) -> Image | None:
        return self._picture

    def close(self) -> None:
        self.closed.set()
