"""One run: the application's own pipeline over a clip, from the first frame to the last."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.benchmark.load import Meter
from agent.benchmark.statistics import latency_figures, stages_ms
from agent.capture.frame import Frame, Source
from agent.errors import CancelledError, CaptureError, EngineError
from agent.observe.telemetry import Timing
from agent.output.keypoints import encode_keypoints
from agent.pipeline import Lane, Pipeline, Result
from agent.poses.agreement import Tally
from agent.poses.skeleton import Poses
from agent.tracking import Track
from agent.wire.commands import Agreement
from agent.wire.study import Run

POLL_S = 0.05
STALL_S = 60.0
"""An engine that answers nothing for so long will not answer any more."""
NOBODY = "benchmark"
"""Device id of the messages that are made and not sent."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A run, and what is needed beside its figures."""

    run: Run
    latencies_ms: tuple[float, ...]
    """Of inference, of each frame."""
    poses: tuple[Poses, ...] = ()
    """Of each frame as decoded, before they are followed and smoothed; none unless they were to be kept."""
    ages_ms: tuple[float, ...] = ()
    """Of each frame, from its arrival to the moment its message was made."""
    fps_between: float = 0.0
    """Frames a second from the first result to the last, however long the first was waited for."""


def run_once(
    lane: Lane,
    source: Source,
    *,
    track: Track | None,
    meter: Meter,
    cancelled: threading.Event,
    keep_poses: bool = False,
    goes_on: Callable[[int], None] = lambda _frames: None,
) -> Measured:
    """Run ``source`` to its end through ``lane``, as the application would, but for the sending.

    ``track`` must be a fresh one: it remembers people. Frames per second count from the start of the first frame to the
    last result. ``goes_on`` is told every now and then how many frames are done. ``source`` stays open. Raises
    EngineError when inference fails or stalls, CaptureError for frames that cannot be read, and CancelledError a frame
    or two after ``cancelled`` is set.
    """
    kept: list[Poses] = []
    timings: list[Timing] = []
    ended = threading.Event()
    failures: list[BaseException] = []

    def followed(poses: Poses, frame: Frame) -> Poses:
        if keep_poses:
            kept.append(poses)
        return poses if track is None else track(poses, frame.scene_s)

    def on_end(error: BaseException | None) -> None:
        if error is not None:
            failures.append(error)
        ended.set()

    pipeline = Pipeline(source, lane, publish=encode, timed=timings.append, on_end=on_end, track=followed)
    meter.start()
    began_s = time.perf_counter()
    pipeline.start()
    try:
        _wait(ended, timings, cancelled, goes_on)
    finally:
        pipeline.stop()
    if failures:
        raise failures[0]
    if damaged := source.counts().damaged:
        raise CaptureError(f"{damaged} pictures of the clip cannot be decoded: the figures would be of other pictures")
    return measured(timings, began_s, meter, kept)


def encode(result: Result) -> None:
    """Make the message of a result, which nobody gets."""
    encode_keypoints(result, NOBODY)


def measured(timings: Sequence[Timing], began_s: float, meter: Meter, poses: Sequence[Poses]) -> Measured:
    """Figures of a run that began at ``began_s`` of time.perf_counter(). Raises CaptureError of one without frames."""
    load = meter.stop()
    if not timings:
        raise CaptureError("the clip has no frames")
    seconds = timings[-1].finished_s - began_s
    latencies = tuple(timing.infer_ms for timing in timings)
    run = Run(
        frames=len(timings),
        seconds=seconds,
        fps=len(timings) / seconds,
        **latency_figures(latencies),
        stages_ms=stages_ms(timings),
        cpu_percent=load.cpu_percent,
        others_percent=load.others_percent,
        rss_mb=load.rss_mb,
        temperature_c=load.temperature_c,
        throttled=load.throttled,
        round=None,
        disturbed=load.disturbance(),
    )
    span_s = timings[-1].finished_s - timings[0].finished_s
    between = (len(timings) - 1) / span_s if span_s > 0 else run.fps
    return Measured(run, latencies, tuple(poses), tuple(timing.age_ms for timing in timings), between)


def agree(reference: Sequence[Poses], found: Sequence[Poses]) -> Agreement:
    """How well the people of each frame agree with those of a reference on the same frames, as many of both.

    Both should be decoded down to a score of :data:`agent.poses.agreement.POSSIBLE`.
    """
    tally = Tally()
    for expected, poses in zip(reference, found, strict=True):
        tally.add(expected, poses)
    return tally.agreement()


def _wait(
    ended: threading.Event, timings: Sequence[Timing], cancelled: threading.Event, goes_on: Callable[[int], None]
) -> None:
    seen, since = 0, time.perf_counter()
    while not ended.wait(POLL_S):
        if cancelled.is_set():
            raise CancelledError("cancelled during a run")
        if len(timings) != seen:
            seen, since = len(timings), time.perf_counter()
            goes_on(seen)
        elif time.perf_counter() - since > STALL_S:
            raise EngineError(f"no result for {STALL_S:.0f} s")
