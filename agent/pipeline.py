"""Frames in, poses out, in order.

Two threads share the way of a frame. The feeder takes a frame from the source, writes it letterboxed into an idle
infer request and starts it; the finisher waits for the oldest request, decodes its poses and hands them on. Between
them stands one queue of started requests, which is what keeps the order, also across a change of engine.
"""

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from agent.capture.frame import EndOfSource, Frame, Source
from agent.errors import EngineError
from agent.inference.engine import Engine, Slot
from agent.inference.letterbox import Letterbox, prepare
from agent.poses.decoders import Decoder
from agent.poses.skeleton import Poses
from agent.telemetry import Timing

POLL_S = 0.25
"""How often a waiting thread looks whether it should stop."""


@dataclass(frozen=True, slots=True)
class Lane:
    """An engine and the decoder that reads it: they change together."""

    engine: Engine
    decoder: Decoder


@dataclass(frozen=True, slots=True)
class Started:
    """A frame on the device."""

    frame: Frame
    lane: Lane
    slot: Slot
    letterbox: Letterbox
    prepare_ms: float


@dataclass(frozen=True, slots=True)
class Result:
    """A frame and its people."""

    frame: Frame
    poses: Poses
    engine: int
    model: str


class Pipeline:
    """Runs a source through an engine until the source ends, something fails, or it is told to stop.

    ``publish`` receives every result in order, in the finisher's thread, and its duration is the publish stage;
    ``timed`` receives the frame's timing after it. ``track`` follows people from frame to frame: it takes poses and the
    seconds of the scene's clock, in order.
    """

    def __init__(
        self,
        source: Source,
        lane: Lane,
        *,
        publish: Callable[[Result], None],
        timed: Callable[[Timing], None],
        on_end: Callable[[BaseException | None], None],
        track: Callable[[Poses, float], Poses] | None = None,
    ) -> None:
        self._source = source
        self._lane = lane
        self._publish = publish
        self._timed = timed
        self._on_end = on_end
        self._track = track
        self._started: queue.SimpleQueue[Started | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._first: Frame | None = None
        self._failure: BaseException | None = None
        self._threads = (
            threading.Thread(target=self._run_feeder, name="feeder", daemon=True),
            threading.Thread(target=self._run_finisher, name="finisher", daemon=True),
        )

    def start(self, first: Frame | None = None) -> None:
        """Begin, with a frame that was already taken from the source, if any."""
        self._first = first
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float = 1.0) -> None:
        """End after the frames that are on the device."""
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout_s)

    def _run_feeder(self) -> None:
        try:
            while not self._stop.is_set():
                self._feed_one()
        except EndOfSource:
            pass  # the finisher ends after what is on the device
        except Exception as error:  # noqa: BLE001 - top of the thread: the agent ends with this error
            self._failure = error
        self._started.put(None)

    def _feed_one(self) -> None:
        lane = self._lane
        slot = lane.engine.acquire(POLL_S)
        if slot is None:
            return
        started = False
        try:
            frame, self._first = self._first or self._source.read(POLL_S), None
            if frame is not None:
                began = time.perf_counter()
                letterbox = prepare(frame, slot.input)
                prepare_ms = (time.perf_counter() - began) * 1e3
                slot.start()
                self._started.put(Started(frame, lane, slot, letterbox, prepare_ms))
                started = True
        finally:
            if not started:
                lane.engine.release(slot)

    def _run_finisher(self) -> None:
        try:
            while (started := self._started.get()) is not None:
                self._finish_one(started)
        except Exception as error:  # noqa: BLE001 - top of the thread: the agent ends with this error
            self._failure = self._failure or error
            self._stop.set()
            self._give_back()
        self._on_end(self._failure)

    def _give_back(self) -> None:
        """Wait for what is still on the device: an engine whose slots are lost cannot be closed or used again."""
        while (started := self._started.get()) is not None:
            with suppress(EngineError):
                started.slot.wait()
            started.lane.engine.release(started.slot)

    def _finish_one(self, started: Started) -> None:
        frame, lane, slot = started.frame, started.lane, started.slot
        try:
            slot.wait()
            infer_ms = slot.latency_ms
            arrived = time.perf_counter()
            poses = lane.decoder.decode(slot.outputs, started.letterbox)
        finally:
            lane.engine.release(slot)
        decoded = time.perf_counter()
        if self._track is not None:
            poses = self._track(poses, frame.scene_s)
        tracked = time.perf_counter()
        self._publish(Result(frame, poses, lane.engine.generation, lane.engine.spec.model))
        finished = time.perf_counter()
        self._timed(
            Timing(
                capture_ms=frame.capture_ms,
                prepare_ms=started.prepare_ms,
                infer_ms=infer_ms,
                decode_ms=(decoded - arrived) * 1e3,
                track_ms=(tracked - decoded) * 1e3,
                publish_ms=(finished - tracked) * 1e3,
                age_ms=(finished - frame.captured_s) * 1e3,
                finished_s=finished,
                persons=len(poses.certain()),
            )
        )
