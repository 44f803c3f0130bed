"""Runs of the application's own pipeline over a clip, to a broker."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np

from agent.benchmark.limit import raw_throughput
from agent.capture import open_source
from agent.capture.video import open_file
from agent.config.tree import Camera, Mqtt
from agent.inference.engine import Engine, Slot
from agent.inference.network import Network
from agent.link import Link
from agent.observe.telemetry import STAGES, Timing
from agent.output.keypoints import encode_keypoints
from agent.pipeline import Lane, Pipeline
from agent.poses.decoders import Decoder
from agent.poses.movenet import MoveNetDecoder
from agent.wire.topics import Topics

SCORE_MIN = 0.05
"""Low enough that the people of vtest.avi, 33 pixels tall at 256x256, are all decoded and published."""


@dataclass(frozen=True, slots=True)
class Run:
    """Figures of one run."""

    fps: float
    cpu_ms: float
    """Processor time of the whole process a frame; the broker is another."""
    own_cpu_ms: float
    """Of that, what the application's threads take: all but OpenVINO's, which infer."""
    calling_ms: float
    """Of that, the calls that start an inference and wait for it, which raw inference makes as well."""
    persons_mean: float
    stages_ms: dict[str, float]


@dataclass(frozen=True, slots=True)
class Leg:
    """Inference alone."""

    fps: float
    cpu_ms: float
    """Processor time of the whole process an inference."""


def raw_leg(engine: Engine, seconds: float) -> Leg:
    """What :func:`raw_throughput` measures, and what it costs."""
    began, before_s = time.perf_counter(), time.process_time()
    fps = raw_throughput(engine, seconds)
    return Leg(fps, (time.process_time() - before_s) / (fps * (time.perf_counter() - began)) * 1e3)


def decoder_ms(clip: Path) -> float:
    """Processor time a frame of FFmpeg alone: reading the file and decoding it."""
    reader, frames, before_s = open_file(clip), 0, time.process_time()
    while reader.grab():
        frames += 1
    reader.close()
    return (time.process_time() - before_s) / frames * 1e3


def _costs_s() -> tuple[float, float]:
    """Processor time so far: of the process, and of the threads that Python started."""
    clocks = [time.pthread_getcpuclockid(thread.ident) for thread in threading.enumerate() if thread.ident]
    return time.process_time(), sum(time.clock_gettime(clock) for clock in clocks)


def watched(call: Callable[..., Any], costs_s: list[float]) -> Callable[..., Any]:
    """The same call, its processor time kept."""

    def timed(*arguments: Any, **options: Any) -> Any:
        before_s = time.thread_time()
        try:
            return call(*arguments, **options)
        finally:
            costs_s.append(time.thread_time() - before_s)

    return timed


@contextmanager
def _calls_watched() -> Iterator[list[float]]:
    """Processor time of each call of the application that starts an inference or waits for one."""
    costs_s: list[float] = []
    with patch.multiple(Slot, start=watched(Slot.start, costs_s), wait=watched(Slot.wait, costs_s)):
        yield costs_s


def _timings(
    engine: Network, camera: Camera, port: int, seconds: float, decoder: Decoder | None = None
) -> tuple[list[Timing], tuple[float, float]]:
    """Everything of each frame, and milliseconds a frame of the process and of its own threads."""
    cv2.setNumThreads(1)
    timings: list[Timing] = []
    costs: list[tuple[float, float]] = []

    def keep(timing: Timing) -> None:
        timings.append(timing)
        if len(timings) == 1:
            costs.append(_costs_s())

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
        lane = Lane(engine, decoder or MoveNetDecoder(person_score_min=SCORE_MIN, persons_max=20))
        pipeline = Pipeline(
            source,
            lane,
            publish=lambda result: link.keypoints(encode_keypoints(result, "bench")),
            timed=keep,
            on_end=on_end,
        )
        pipeline.start()
        ended.wait(seconds)
        frames = len(timings) - 1
        costs.append(_costs_s())
        pipeline.stop()
        assert ended.wait(10), "the pipeline did not stop"
    if failures:
        raise failures[0]
    (process_s, own_s), (process_end_s, own_end_s) = costs
    return timings, ((process_end_s - process_s) / frames * 1e3, (own_end_s - own_s) / frames * 1e3)


def pipeline_run(engine: Network, clip: Path, port: int, seconds: float, decoder: Decoder | None = None) -> Run:
    """The looped clip as fast as it can be processed, no frame lost; MoveNet's, where no other ``decoder`` reads it."""
    camera = Camera(source=str(clip), pace="fast", loop=True, lossless=True)
    began = time.perf_counter()
    with _calls_watched() as calls_s:
        timings, (cpu_ms, own_cpu_ms) = _timings(engine, camera, port, seconds, decoder)
    # From the first result on: opening the file and connecting are not the pipeline.
    span = timings[-1].finished_s - timings[0].finished_s
    assert timings[-1].finished_s > began
    return Run(
        fps=(len(timings) - 1) / span,
        cpu_ms=cpu_ms,
        own_cpu_ms=own_cpu_ms,
        calling_ms=sum(calls_s) / len(timings) * 1e3,
        persons_mean=float(np.mean([timing.persons for timing in timings])),
        stages_ms={stage: float(np.mean([getattr(timing, f"{stage}_ms") for timing in timings])) for stage in STAGES},
    )


def age_overhead_ms(engine: Engine, clip: Path, port: int, seconds: float) -> float:
    """p95 of capture-to-publish age minus inference, with the clip as a 10 fps camera."""
    timings, _costs = _timings(engine, Camera(source=str(clip), pace="native", loop=True), port, seconds)
    return float(np.percentile([timing.age_ms - timing.infer_ms for timing in timings], 95))
