"""Windows of frame timings and their percentiles."""

import threading
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Timing:
    """What one frame cost, stage by stage, in milliseconds."""

    capture_ms: float
    prepare_ms: float
    infer_ms: float
    """Inference alone, start to result: the study's latency."""
    decode_ms: float
    track_ms: float
    publish_ms: float
    age_ms: float
    """From capture to the moment the keypoints were handed to the link."""
    finished_s: float
    """time.perf_counter() at that moment."""
    persons: int
    detect_ms: float | None = None
    """Of infer, of a network of two stages: the detector's, 0 of a frame that it did not look at."""
    pose_ms: float | None = None
    """Of infer, of a network of two stages: the poses of everybody."""


RECENT_FRAMES = 4096
"""Enough for the seconds before a switch, at any rate a box reaches."""
STAGES = ("capture", "prepare", "infer", "decode", "track", "publish")
PARTS = ("detect", "pose")
"""Of the stage infer, where there are two."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures of one window; None where no frame gave one. Keys are those of the metrics message."""

    window_s: float
    frames_processed: int
    figures: dict[str, float | None]
    persons_mean: float | None
    persons_max: int | None


class Telemetry:
    """Collects timings from the pipeline; a window is taken by whoever publishes it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: list[Timing] = []
        # Of the last frames the moment and the milliseconds of inference, in a ring that holds no more later than now.
        self._recent = np.full((RECENT_FRAMES, 2), -np.inf)
        self._since = time.perf_counter()
        self.frames_total = 0
        self.last_frame_s: float | None = None

    def add(self, timing: Timing) -> None:
        """Record one frame."""
        with self._lock:
            self._rows.append(timing)
            self._recent[self.frames_total % RECENT_FRAMES] = timing.finished_s, timing.infer_ms
            self.frames_total += 1
            self.last_frame_s = timing.finished_s

    def take(self) -> Summary:
        """Close the window and begin the next."""
        now = time.perf_counter()
        with self._lock:
            rows, self._rows = self._rows, []
            since, self._since = self._since, now
        return summarise(rows, since, now)

    def pace(self, since: float, until: float) -> tuple[float | None, float | None]:
        """Frames per second, and mean milliseconds of inference, between two moments of time.perf_counter().

        Of recent frames only; None where too few came to tell. Closes no window.
        """
        with self._lock:
            finished_s, infer_ms = self._recent.T.copy()
        between = (since <= finished_s) & (finished_s <= until)
        if (frames := int(between.sum())) < 2:
            return None, None
        span_s = float(np.ptp(finished_s[between]))
        return (frames - 1) / span_s if span_s else None, float(infer_ms[between].mean())


def summarise(rows: list[Timing], since: float, now: float) -> Summary:
    """Figures of the frames finished between two moments of time.perf_counter().

    FPS minimum and maximum are over the window's whole seconds; percentiles interpolate linearly.
    """
    window_s = now - since
    figures: dict[str, float | None] = {f"fps_{name}": None for name in ("mean", "min", "max")}
    figures |= {f"latency_ms_{name}": None for name in ("mean", "min", "max", "p50", "p95", "p99")}
    figures |= {f"age_ms_{name}": None for name in ("p50", "p95", "p99")}
    figures |= {f"stage_{stage}_ms_mean": None for stage in (*STAGES, *PARTS)}
    if not rows:
        return Summary(window_s, 0, figures, None, None)

    figures["fps_mean"] = len(rows) / window_s
    figures["fps_min"], figures["fps_max"] = _fps_range(np.array([row.finished_s - since for row in rows]), window_s)
    latency = np.array([row.infer_ms for row in rows])
    figures["latency_ms_mean"] = float(latency.mean())
    figures["latency_ms_min"] = float(latency.min())
    figures["latency_ms_max"] = float(latency.max())
    age = np.array([row.age_ms for row in rows])
    for name, values in (("latency_ms", latency), ("age_ms", age)):
        for percent, value in zip((50, 95, 99), np.percentile(values, (50, 95, 99)), strict=True):
            figures[f"{name}_p{percent}"] = float(value)
    for stage in STAGES:
        figures[f"stage_{stage}_ms_mean"] = float(np.mean([getattr(row, f"{stage}_ms") for row in rows]))
    for part in PARTS:
        known = [value for row in rows if (value := getattr(row, f"{part}_ms")) is not None]
        figures[f"stage_{part}_ms_mean"] = float(np.mean(known)) if known else None
    persons = [row.persons for row in rows]
    return Summary(window_s, len(rows), figures, float(np.mean(persons)), max(persons))


def _fps_range(finished_s: NDArray[np.float64], window_s: float) -> tuple[float, float]:
    """Lowest and highest number of frames in one whole second; the mean rate twice where the window is shorter.

    ``finished_s`` counts from the beginning of the window.
    """
    seconds = int(window_s)
    if seconds < 1:
        rate = len(finished_s) / window_s
        return rate, rate
    # A frame can finish just before the window begins and be added just after.
    numbers = np.maximum(finished_s, 0).astype(np.intp)
    counts = np.bincount(numbers, minlength=seconds)[:seconds]
    return float(counts.min()), float(counts.max())
