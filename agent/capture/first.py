"""A source cut short."""

import time

from agent.capture.frame import CaptureCounts, EndOfSource, Frame, Source


class FirstFrames:
    """The first ``frames`` of a source, and then its end."""

    def __init__(self, source: Source, frames: int) -> None:
        self._source = source
        self._left = frames

    def read(self, timeout_s: float) -> Frame | None:
        """Return the next frame, or None when none came in time. Raises :class:`EndOfSource` after the last."""
        if not self._left:
            raise EndOfSource
        frame = self._source.read(timeout_s)
        if frame is not None:
            self._left -= 1
        return frame

    def counts(self) -> CaptureCounts:
        """Frames captured and dropped so far."""
        return self._source.counts()

    def close(self) -> None:
        """Close the source."""
        self._source.close()


class FirstSeconds:
    """The first ``seconds`` of a source by this machine's clock, from the first frame that is read; then its end."""

    def __init__(self, source: Source, seconds: float) -> None:
        self._source = source
        self._seconds = seconds
        self._until_s: float | None = None

    def read(self, timeout_s: float) -> Frame | None:
        """Return the next frame, or None when none came in time. Raises :class:`EndOfSource` when the time is over."""
        if self._until_s is not None and time.perf_counter() >= self._until_s:
            raise EndOfSource
        frame = self._source.read(timeout_s)
        if frame is not None and self._until_s is None:
            self._until_s = time.perf_counter() + self._seconds
        return frame

    def counts(self) -> CaptureCounts:
        """Frames captured and dropped so far."""
        return self._source.counts()

    def close(self) -> None:
        """Close the source."""
        self._source.close()
