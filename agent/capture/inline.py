"""A source read in the caller's thread: files and folders of which no frame may be lost."""

import threading
import time

from agent.capture.frame import CaptureCounts, EndOfSource, Frame, Notify
from agent.capture.picture import Framer
from agent.capture.presence import Presence
from agent.capture.reader import Feed
from agent.capture.timing import FrameRateCap, Pacer
from agent.config.tree import Camera


class InlineSource:
    """Decodes the next frame when it is asked for, so that none is dropped.

    The frame-rate cap counts in the file's own time: of a 30 fps file, ``fps_max = 10`` takes every third frame, at any
    pace. ``capture_ms`` is reading and decoding.
    """

    def __init__(self, feed: Feed, camera: Camera, notify: Notify) -> None:
        self._reader = feed.open()
        self._pacer = Pacer() if camera.pace == "native" else None
        self._cap = FrameRateCap(camera.fps_max)
        self._framer = Framer(camera)
        self._presence = Presence(feed.address, notify, time.perf_counter())
        self._grabbed_ms: float | None = None
        """What grabbing the picture cost that is waiting for its time; None when none is."""
        self._reading = threading.Lock()
        self._closed = threading.Event()

    def read(self, timeout_s: float) -> Frame | None:
        """Return the next frame, or None when it is not due within ``timeout_s``.

        Raises :class:`EndOfSource` at the end and after :meth:`close`, :class:`CaptureError` for an unreadable image.
        """
        give_up_s = time.perf_counter() + timeout_s
        while True:
            self._grab()
            if self._pacer is not None and not self._wait_until_due(self._pacer, give_up_s):
                return None
            if (frame := self._take()) is not None:
                return frame

    def counts(self) -> CaptureCounts:
        """Frames captured; none is ever dropped."""
        return CaptureCounts(captured=self._framer.taken, dropped=0, damaged=self._reader.damaged)

    def close(self) -> None:
        """Release the file; ends a waiting read."""
        self._closed.set()
        with self._reading:
            self._reader.close()

    def _grab(self) -> None:
        """Move on to the next picture, unless one is waiting for its time."""
        with self._reading:
            if self._closed.is_set():
                raise EndOfSource
            if self._grabbed_ms is not None:
                return
            started_s = time.perf_counter()
            more = self._reader.grab()
            now_s = time.perf_counter()
            self._presence.damage(self._reader.damaged, now_s)
            self._presence.software(self._reader.software_because)
            if not more:
                raise EndOfSource
            self._grabbed_ms = (now_s - started_s) * 1e3

    def _wait_until_due(self, pacer: Pacer, give_up_s: float) -> bool:
        now_s = time.perf_counter()
        due_s = now_s + pacer.due_in_s(self._reader.position_s, now_s)
        self._closed.wait(max(0.0, min(due_s, give_up_s) - now_s))
        if due_s > give_up_s:
            return False
        pacer.advance(self._reader.position_s, time.perf_counter())
        return True

    def _take(self) -> Frame | None:
        """Return the picture grabbed, or None for one that is not wanted or cannot be decoded."""
        with self._reading:
            if self._closed.is_set() or self._grabbed_ms is None:
                raise EndOfSource
            captured_s = time.perf_counter()
            started_s = captured_s - self._grabbed_ms / 1e3
            self._grabbed_ms = None
            at_s = self._reader.position_s
            if not self._cap.admits(at_s) or (picture := self._reader.retrieve()) is None:
                return None
            self._presence.flowing(picture, captured_s)
            return self._framer.frame(picture, captured_s=captured_s, started_s=started_s, media_s=at_s)
