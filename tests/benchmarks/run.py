"""Runs of the application's own pipeline over a clip, to a broker."""

import threading
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from agent.capture import open_source
from agent.config.tree import Camera, Mqtt
from agent.inference.engine import Engine
from agent.link import Link
from agent.observe.telemetry import STAGES, Timing
from agent.output.keypoints import encode_keypoints
from agent.pipeline import Lane, Pipeline
from agent.poses.movenet import MoveNetDecoder
from agent.wire.topics import Topics

SCORE_MIN = 0.05
"""Low enough that the people of vtest.avi, 33 pixels tall at 256x256, are all decoded and published."""


@dataclass(frozen=True, slots=True)
class Run:
    """Figures of one run."""

    fps: float
    persons_mean: float
    stages_ms: dict[str, float]


def _timings(engine: Engine, camera: Camera, port: int, seconds: float) -> list[Timing]:
    cv2.setNumThreads(1)
    timings: list[Timing] = []
    ended = threading.Event()
    failures: list[BaseException] = []

    def on_end(error: BaseException | None) -> None:
        if error is not None:
            failures.append(error)
        ended.set()

    connected = threading.Event()

    def on_state(up: bool) -> None:
        if up:
            connected.set()

    link = Link(Mqtt(host="127.0.0.1", port=port), Topics("bench"), on_state=on_state)
    source = open_source(camera, resolve_clip=Path, notify=lambda _event: None)
    with link, closing(source):
        assert connected.wait(10), "no broker"
        lane = Lane(engine, MoveNetDecoder(person_score_min=SCORE_MIN, persons_max=20))
        pipeline = Pipeline(
            source,
            lane,
            publish=lambda result: link.keypoints(encode_keypoints(result, "bench")),
            timed=timings.append,
            on_end=on_end,
        )
        pipeline.start()
        ended.wait(seconds)
        pipeline.stop()
        assert ended.wait(10), "the pipeline did not stop"
    if failures:
        raise failures[0]
    return timings


def pipeline_run(engine: Engine, clip: Path, port: int, seconds: float) -> Run:
    """The looped clip as fast as it can be processed, no frame lost."""
    camera = Camera(source=str(clip), pace="fast", loop=True, lossless=True)
    began = time.perf_counter()
    timings = _timings(engine, camera, port, seconds)
    # From the first result on: opening the file and connecting are not the pipeline.
    span = timings[-1].finished_s - timings[0].finished_s
    assert timings[-1].finished_s > began
    return Run(
        fps=(len(timings) - 1) / span,
        persons_mean=float(np.mean([timing.persons for timing in timings])),
        stages_ms={stage: float(np.mean([getattr(timing, f"{stage}_ms") for timing in timings])) for stage in STAGES},
    )


def age_overhead_ms(engine: Engine, clip: Path, port: int, seconds: float) -> float:
    """p95 of capture-to-publish age minus inference, with the clip as a 10 fps camera."""
    timings = _timings(engine, Camera(source=str(clip), pace="native", loop=True), port, seconds)
    return float(np.percentile([timing.age_ms - timing.infer_ms for timing in timings], 95))
