"""Frames of the running pipeline, into a private folder as pictures, for a job that needs some."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2

from agent.capture.frame import Image
from agent.control.samples import Samples
from agent.errors import CancelledError, EdgeposeError
from agent.pipeline import Result

Choose = Callable[[Result], Image | None]
"""The picture to be kept of a result, or None for a frame that is not wanted."""

TELL_S = 0.25
"""How often progress is told, and whether it is still wanted is asked."""
QUALITY = (cv2.IMWRITE_JPEG_QUALITY, 95)


class Recorder:
    """Takes frames off the pipeline, at most ``most``, and writes them into ``folder``."""

    def __init__(self, folder: Path, most: int, choose: Choose) -> None:
        self._folder = folder
        self._most = most
        self._choose = choose
        self._unwritten = False
        self.taken = 0
        self.first_s = self.last_s = 0.0
        """When the first and the last were captured, on time.perf_counter()."""
        self._over = threading.Event()

    def offer(self, result: Result) -> None:
        """Look at a result, in the pipeline's thread."""
        if self._over.is_set() or (picture := self._choose(result)) is None:
            return
        if not cv2.imwrite(str(self._folder / f"{self.taken:05}.jpg"), picture, QUALITY):
            self._unwritten = True  # raised by whoever records: the pipeline has nothing to do with it
            self._over.set()
            return
        self.last_s = result.frame.captured_s
        self.first_s = self.first_s or self.last_s
        self.taken += 1
        if self.taken >= self._most:
            self._over.set()

    def record(self, samples: Samples, seconds: float, tell: Callable[[int], None], cancelled: threading.Event) -> None:
        """Record until there are enough or the time is over, telling how many there are.

        Raises CancelledError, and EdgeposeError when the folder cannot be written.
        """
        samples.recorder = self.offer
        try:
            deadline = time.monotonic() + seconds
            while not self._over.wait(min(TELL_S, seconds)) and time.monotonic() < deadline:
                if cancelled.is_set():
                    raise CancelledError("cancelled while it recorded frames")
                tell(self.taken)
        finally:
            samples.recorder = None
        if self._unwritten:
            raise EdgeposeError(f"{self._folder} cannot be written", hint="is the disk full?")
