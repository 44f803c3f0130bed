"""A source read in a thread of its own that keeps only the newest frame: cameras, streams, files that stand for one."""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import structlog

from agent.capture.faults import LoginError
from agent.capture.frame import CaptureCounts, EndOfSource, Frame, Notify, Picture
from agent.capture.picture import Framer, Stillness
from agent.capture.presence import Presence
from agent.capture.reader import Feed, Reader
from agent.capture.timing import FIRST_PICTURE_S, SILENCE_S, Backlog, Backoff, FrameRateCap, Pacer
from agent.config.tree import Camera
from agent.errors import CaptureError

log = structlog.get_logger()

_MARGIN_S = 0.5
_TICK_S = 0.25
_CLOSE_WAIT_S = 0.5
_ENDED = "the camera ended the stream, or the connection broke"


class LiveSource:
    """Reads as fast as frames come; whoever asks gets the newest one, and what nobody asked for is counted.

    A camera that is lost is closed and opened again for ever. One thread reads; another tells of the loss when a call
    into a driver or a resolver hangs, which no time-out of OpenCV's covers. It tells and does not abandon the reader:
    a camera cannot be opened twice, and a call that returns at last goes on by itself.
    ``capture_ms`` is retrieving and rotating without the wait for the camera.
    """

    def __init__(self, feed: Feed, camera: Camera, notify: Notify) -> None:
        self._feed = feed
        self._camera = camera
        self._framer = Framer(camera)
        self._cap = FrameRateCap(camera.fps_max)
        self._stillness = Stillness()
        self._presence = Presence(feed.address, notify, time.perf_counter())
        self._slot = threading.Condition()
        self._latest: Frame | None = None
        self._captured = 0
        self._dropped = 0
        self._damaged = 0
        self._ended = False
        self._failure: CaptureError | None = None
        self._closed = threading.Event()
        self._overdue_s = math.inf
        self._decoded_s = 0.0
        self._threads = (
            threading.Thread(target=self._run, name="capture", daemon=True),
            threading.Thread(target=self._supervise, name="capture-supervisor", daemon=True),
        )
        for thread in self._threads:
            thread.start()

    def read(self, timeout_s: float) -> Frame | None:
        """Return the newest frame, once, never older than half a second; None when none came within ``timeout_s``.

        Raises :class:`EndOfSource` at the end of a file and after :meth:`close`, :class:`CaptureError` when a file or
        folder has become unreadable.
        """
        give_up_s = time.perf_counter() + timeout_s
        with self._slot:
            while not self._closed.is_set():
                if (frame := self._take_latest()) is not None:
                    return frame
                if self._failure is not None:
                    raise CaptureError(str(self._failure), hint=self._failure.hint) from self._failure
                if self._ended:
                    break
                if (remaining_s := give_up_s - time.perf_counter()) <= 0:
                    return None
                self._slot.wait(remaining_s)
        raise EndOfSource

    def counts(self) -> CaptureCounts:
        """Frames taken since the start, and those of them that were overwritten or grew old unread."""
        with self._slot:
            return CaptureCounts(captured=self._captured, dropped=self._dropped, damaged=self._damaged)

    def close(self) -> None:
        """Stop reading. A thread that hangs in a driver is left behind; it releases the camera when it returns."""
        self._closed.set()
        with self._slot:
            self._slot.notify_all()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(_CLOSE_WAIT_S)

    def _take_latest(self) -> Frame | None:
        frame, self._latest = self._latest, None
        if frame is not None and time.perf_counter() - frame.captured_s > SILENCE_S:
            self._dropped += 1
            return None
        return frame

    def _run(self) -> None:
        """Connect again and again for as long as the source is wanted: the reading thread."""
        failure: CaptureError | None = None
        backoff = Backoff()
        while not self._closed.is_set():
            try:
                if failure is not None:
                    self._presence.lost(str(failure), time.perf_counter(), failure.hint)
                    refused = isinstance(failure, LoginError)
                    self._closed.wait(backoff.pause_s(time.perf_counter(), refused=refused))
                backoff.started(time.perf_counter())
                self._connect()
            except EndOfSource:
                return self._finish(None)
            except CaptureError as error:
                if self._feed.finite:
                    return self._finish(error)
                failure = error
            except Exception as error:
                log.exception("camera.reader_failed", source=self._feed.address)
                failure = CaptureError(f"the reader failed: {type(error).__name__}")
        return None

    def _finish(self, failure: CaptureError | None) -> None:
        with self._slot:
            self._ended, self._failure = True, failure
            self._slot.notify_all()

    def _supervise(self) -> None:
        """Notice that the reading thread hangs: the other thread."""
        while not self._closed.wait(_TICK_S):
            try:
                now_s = time.perf_counter()
                if now_s > self._overdue_s:
                    self._presence.lost("the camera does not answer", now_s)
            except Exception:
                log.exception("camera.supervisor_failed", source=self._feed.address)

    def _expect_within(self, timeout_s: float) -> None:
        self._overdue_s = time.perf_counter() + timeout_s + _MARGIN_S

    def _connect(self) -> None:
        """Read until the end, a failure or :meth:`close`."""
        self._expect_within(math.inf if self._feed.finite else self._camera.open_timeout_s)
        with closing(self._feed.open()) as reader:
            self._decoded_s = time.perf_counter()
            damaged_before = self._damaged
            for captured_s in self._due(reader) if reader.paced else self._arriving(reader):
                if self._cap.admits(captured_s):
                    self._take(reader, captured_s)
                self._damaged = damaged_before + reader.damaged
                self._presence.software(reader.software_because)
                self._presence.damage(self._damaged, captured_s)

    def _due(self, reader: Reader) -> Iterator[float]:
        """Grab the pictures of a recording, each when it is due by its time stamp; yields the moment of each."""
        pacer = Pacer()
        while self._grabbed(reader, max(FIRST_PICTURE_S, self._camera.read_timeout_s)):
            self._expect_within(math.inf)  # the next picture may be due in a minute
            if self._closed.wait(pacer.due_in_s(reader.position_s, time.perf_counter())):
                return
            now_s = time.perf_counter()
            pacer.advance(reader.position_s, now_s)
            yield now_s
        if not self._closed.is_set():
            self._presence.damage(reader.damaged, time.perf_counter())
            if reader.finite:
                raise EndOfSource
            raise CaptureError(_ENDED)

    def _arriving(self, reader: Reader) -> Iterator[float]:
        """Grab the pictures of a camera as they come, skipping stale ones; yields when each arrived."""
        backlog = Backlog(reader.period_s, time.perf_counter())
        patience_s = max(FIRST_PICTURE_S, self._camera.read_timeout_s)
        while not self._closed.is_set():
            asked_s = time.perf_counter()
            if not self._grabbed(reader, patience_s):
                raise CaptureError(_ENDED)
            patience_s = self._camera.read_timeout_s
            now_s = time.perf_counter()
            if not backlog.is_stale(now_s, now_s - asked_s) and not self._closed.is_set():
                yield reader.arrived_s

    def _grabbed(self, reader: Reader, patience_s: float) -> bool:
        self._expect_within(math.inf if self._feed.finite else patience_s)
        return reader.grab()

    def _take(self, reader: Reader, captured_s: float) -> None:
        started_s = time.perf_counter()
        picture = reader.retrieve()
        if picture is None:
            # One damaged frame is no reason to give up a camera.
            if captured_s - self._decoded_s > self._camera.read_timeout_s and not self._feed.finite:
                raise CaptureError("frames come, but cannot be decoded")
            return
        self._decoded_s = captured_s
        if not self._feed.finite:
            self._refuse_frozen(picture, captured_s)
        self._presence.flowing(picture, captured_s)
        frame = self._framer.frame(picture, captured_s=captured_s, started_s=started_s)
        with self._slot:
            self._dropped += self._latest is not None
            self._latest = frame
            self._captured += 1
            self._slot.notify()

    def _refuse_frozen(self, picture: Picture, now_s: float) -> None:
        """Give up a frozen camera. Opened again it stays lost until its picture changes: one loss, not many."""
        still_s = self._stillness.observe(picture, now_s)
        if self._camera.frozen_after_s is not None and still_s >= self._camera.frozen_after_s:
            self._presence.frozen(still_s)
            raise CaptureError(f"the picture has not changed for {still_s:.1f} s")
