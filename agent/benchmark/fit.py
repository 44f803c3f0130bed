"""Which input size fits a camera: each is tried for a moment on the camera's own last frames, and one is chosen.

It is measured beside the engine in use, which goes on: what holds there holds alone all the more.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from agent.benchmark.choice import SPARE
from agent.benchmark.load import LoadMeter
from agent.benchmark.measure import Measured, run_once
from agent.benchmark.statistics import percentiles
from agent.capture.first import FirstSeconds
from agent.capture.frame import CaptureCounts, Frame
from agent.pipeline import Lane

LOOK_S = 2.0
"""How long a size is tried at full speed, and then at the camera's pace."""
PACED_MIN = 5
"""Frames of a slow camera that it is tried on at least."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a size did."""

    long_side: int
    fps: float
    """Frames a second at full speed."""
    age_ms: float | None
    """Of a result at the camera's pace, 95th percentile; None where full speed was too slow to be worth the look."""


def holds(look: Look, camera_fps: float, age_ms_max: float) -> bool:
    """Whether a size finishes every frame of the camera with a tenth to spare, and soon enough."""
    return fast_enough(look.fps, camera_fps) and look.age_ms is not None and look.age_ms <= age_ms_max


def fast_enough(fps: float, camera_fps: float) -> bool:
    """Whether an engine that makes ``fps`` has a tenth to spare over the camera's."""
    return (1 - SPARE) * fps >= camera_fps


def largest(looks: Sequence[Look], camera_fps: float, age_ms_max: float) -> Look | None:
    """The largest that holds; None where none does."""
    able = [look for look in looks if holds(look, camera_fps, age_ms_max)]
    return max(able, key=lambda look: look.long_side, default=None)


def look(long_side: int, lane: Lane, frames: Sequence[Frame], camera_fps: float, cancelled: threading.Event) -> Look:
    """Try a lane on frames at full speed, and where that is enough at the camera's pace.

    Raises EngineError when inference fails, and CancelledError soon after ``cancelled`` is set.
    """
    fps = _run(lane, Again(frames), LOOK_S, cancelled).fps_between
    if not fast_enough(fps, camera_fps):
        return Look(long_side, fps, None)
    paced = _run(lane, Again(frames, 1 / camera_fps), max(LOOK_S, PACED_MIN / camera_fps), cancelled)
    _p50, p95, _p99 = percentiles(paced.ages_ms)
    return Look(long_side, fps, p95)


def _run(lane: Lane, frames: "Again", seconds: float, cancelled: threading.Event) -> Measured:
    return run_once(lane, FirstSeconds(frames, seconds), track=None, meter=LoadMeter(), cancelled=cancelled)


class Again:
    """Frames again and again: whenever one is asked for, or as a camera gives one every ``period_s`` seconds."""

    def __init__(self, frames: Sequence[Frame], period_s: float | None = None) -> None:
        self._frames = frames
        self._period_s = period_s
        self._began_s: float | None = None
        self._given = 0
        self._dropped = 0
        self._closed = threading.Event()

    def read(self, timeout_s: float) -> Frame | None:
        """The newest frame, or None when none was due in time."""
        now_s = time.perf_counter()
        if self._period_s is None:
            return self._frame(now_s)
        if self._began_s is None:
            self._began_s = now_s
        due_s = self._began_s + self._given * self._period_s
        if self._closed.wait(min(timeout_s, max(0.0, due_s - now_s))) or due_s > now_s + timeout_s:
            return None
        missed = max(0, int((time.perf_counter() - due_s) / self._period_s))
        self._given += missed
        self._dropped += missed
        return self._frame(self._began_s + self._given * self._period_s)

    def counts(self) -> CaptureCounts:
        """Frames that were due, and those nobody read in time."""
        return CaptureCounts(self._given, self._dropped)

    def close(self) -> None:
        """Whoever waits for a frame gets none."""
        self._closed.set()

    def _frame(self, captured_s: float) -> Frame:
        frame = self._frames[self._given % len(self._frames)]
        self._given += 1
        return replace(
            frame, seq=self._given, captured_at=datetime.now(UTC), captured_s=captured_s, capture_ms=0.0, media_s=None
        )
