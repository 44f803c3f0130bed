"""Runs of the application's own pipeline over a clip, to a broker."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
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
FRAMES_MIN = 5
"""A machine that has no time for a leg goes on until there are so many results."""
LOOK_S = 0.002
"""How often it is looked whether there are, and whether what is on the device has come back."""


@dataclass(frozen=True, slots=True)
class Run:
    """Figures of one leg."""

    fps: float
    cpu_ms: float
    """Processor time of the whole process a frame; the broker is another."""
    own_cpu_ms: float
    """Of that, what the application's threads take: all but OpenVINO's, which infer."""
    calling_ms: float
    """Of that, the calls that start an inference and wait for it, which raw inference makes as well."""
    age_ms: float
    """From a frame's capture to its result, the median."""
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


class Flow:
    """The application's pipeline over a clip, to a broker, as a context manager; it runs while a leg is asked for.

    Between two legs it stands still and its engine is idle, so that what it is compared with can run in turns with it,
    and the clip goes on where it was.
    """

    def __init__(self, engine: Network, camera: Camera, port: int, decoder: Decoder | None = None) -> None:
        cv2.setNumThreads(1)
        self._timings: list[Timing] = []
        self._costs: list[tuple[float, float]] = []
        self._ended = threading.Event()
        self._failures: list[BaseException] = []
        self._connected = threading.Event()
        mqtt = Mqtt(host="127.0.0.1", port=port)
        self._link = link = Link(mqtt, Topics("bench"), on_state=lambda _up: self._connected.set())
        self._source = open_source(camera, resolve_clip=Path, notify=lambda _event: None)
        self._pipeline = Pipeline(
            self._source,
            Lane(engine, decoder or MoveNetDecoder(person_score_min=SCORE_MIN, persons_max=20)),
            publish=lambda result: link.keypoints(encode_keypoints(result, "bench")),
            timed=self._keep,
            on_end=self._end,
        )

    def __enter__(self) -> Self:
        self._link.__enter__()
        assert self._connected.wait(10), "no broker"
        self._pipeline.pause()
        self._pipeline.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._pipeline.stop()
        self._source.close()
        self._link.close()

    def _keep(self, timing: Timing) -> None:
        self._timings.append(timing)
        if len(self._timings) == 1:
            self._costs.append(_costs_s())

    def _end(self, error: BaseException | None) -> None:
        if error is not None:
            self._failures.append(error)
        self._ended.set()

    def timings(self, seconds: float) -> tuple[list[Timing], tuple[float, float]]:
        """Everything of each frame, and milliseconds a frame of the process and of its own threads.

        From the first result on: what begins with a leg is not the pipeline's.
        """
        self._timings.clear()
        self._costs.clear()
        self._pipeline.resume()
        self._ended.wait(seconds)
        while len(self._timings) < FRAMES_MIN and not self._ended.wait(LOOK_S):
            pass
        timings = self._timings.copy()
        self._costs.append(_costs_s())
        self._pipeline.pause()
        while self._pipeline.begun != self._pipeline.finished and not self._ended.wait(LOOK_S):
            pass
        if self._failures:
            raise self._failures[0]
        assert len(timings) > 1, "the clip ended with its first frame"
        (process_s, own_s), (process_end_s, own_end_s) = self._costs
        frames = len(timings) - 1
        return timings, ((process_end_s - process_s) / frames * 1e3, (own_end_s - own_s) / frames * 1e3)

    def leg(self, seconds: float) -> Run:
        """What a leg of so many seconds was like."""
        with _calls_watched() as calls_s:
            timings, (cpu_ms, own_cpu_ms) = self.timings(seconds)
        return Run(
            fps=(len(timings) - 1) / (timings[-1].finished_s - timings[0].finished_s),
            cpu_ms=cpu_ms,
            own_cpu_ms=own_cpu_ms,
            calling_ms=sum(calls_s) / len(self._timings) * 1e3,
            age_ms=float(np.median([timing.age_ms for timing in timings])),
            persons_mean=float(np.mean([timing.persons for timing in timings])),
            stages_ms={name: float(np.mean([getattr(timing, f"{name}_ms") for timing in timings])) for name in STAGES},
        )


def at_full_speed(clip: Path) -> Camera:
    """The looped clip as fast as it can be processed, no frame lost."""
    return Camera(source=str(clip), pace="fast", loop=True, lossless=True)


def pipeline_run(engine: Network, clip: Path, port: int, seconds: float, decoder: Decoder | None = None) -> Run:
    """One leg at full speed from the clip's beginning; MoveNet's, where no other ``decoder`` reads it."""
    with Flow(engine, at_full_speed(clip), port, decoder) as flow:
        return flow.leg(seconds)


def age_overhead_ms(engine: Engine, clip: Path, port: int, seconds: float) -> float:
    """p95 of capture-to-publish age minus inference, with the clip as a 10 fps camera."""
    with Flow(engine, Camera(source=str(clip), pace="native", loop=True), port) as flow:
        timings, _costs = flow.timings(seconds)
    return float(np.percentile([timing.age_ms - timing.infer_ms for timing in timings], 95))
