"""Frames in, poses out, in order.

Two threads share the way of a frame. The feeder takes a frame from the source, writes it letterboxed into an idle
infer request and starts it; the finisher waits for the oldest request, decodes its poses and hands them on. Between
them stands one queue of started requests, which is what keeps the order, also across a change of engine: the feeder
takes the next frame to the new one while the finisher still waits for the old one's last.
"""

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from agent.capture.frame import EndOfSource, Frame, Source
from agent.errors import EngineError
from agent.inference.letterbox import Letterbox
from agent.inference.network import Network, Request
from agent.observe.telemetry import Timing
from agent.poses.decoders import Decoder
from agent.poses.skeleton import Poses

POLL_S = 0.25
"""How often a waiting thread looks whether it should stop."""
REST_S = 10.0
"""How long a device is waited for that may be about to answer; who never does is looked after elsewhere."""
FAILURES_MAX = 3
"""So many inferences failed one after the other are told; a single one costs its frame."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A network and the decoder that reads it: they change together."""

    engine: Network
    decoder: Decoder


@dataclass(frozen=True, slots=True)
class Started:
    """A frame on the device."""

    frame: Frame
    lane: Lane
    slot: Request
    letterbox: Letterbox
    prepare_ms: float


@dataclass(frozen=True, slots=True)
class Result:
    """A frame and its people."""

    frame: Frame
    poses: Poses
    engine: int
    model: str


class Handover:
    """From one engine to the next: filled in when the first result of the new one is out."""

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.gap_ms: float | None = None
        """Between the last result of the old engine and the first of the new one."""
        self.frames_lost = 0
        """Frames that were dropped between those two."""
        self.first_s = 0.0
        """time.perf_counter() of the first result."""
        self.done = threading.Event()


class Pipeline:
    """Runs a source through an engine until the source ends, something fails, or it is told to stop.

    ``publish`` receives every result in order, in the finisher's thread, and its duration is the publish stage;
    ``timed`` receives the frame's timing after it. ``track`` follows people from frame to frame: it takes poses and
    their frame, in order. With ``on_broken`` an inference that fails costs its frame alone, and every
    third in a row is told, with the engine's generation: whoever listens has another engine. Without, the first one
    ends the pipeline.
    """

    def __init__(
        self,
        source: Source,
        lane: Lane,
        *,
        publish: Callable[[Result], None],
        timed: Callable[[Timing], None],
        on_end: Callable[[BaseException | None], None],
        on_broken: Callable[[EngineError, int], None] | None = None,
        track: Callable[[Poses, Frame], Poses] | None = None,
    ) -> None:
        self._source = source
        self._lane = lane
        self._publish = publish
        self._timed = timed
        self._on_end = on_end
        self._on_broken = on_broken
        self._track = track
        self.begun = 0
        """Frames given to a device since the start."""
        self.finished = 0
        """Those of them that were answered, be it with an error."""
        self._handover: Handover | None = None
        self._last: tuple[int, int, float] | None = None
        self._failures = 0
        self._failing: Lane | None = None
        self._flowing = threading.Event()
        self._flowing.set()
        self._fresh_from = 0.0
        self._started: queue.SimpleQueue[Started | threading.Event | None] = queue.SimpleQueue()
        """Frames on the device; an event, set when what stands before it is out; None at the end."""
        self._rested: threading.Event | None = None
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

    def replace(self, lane: Lane) -> tuple[Lane, Handover]:
        """Give every frame from the next one on to another engine; returns the lane that was in use until now.

        Its engine may be closed at once: closing waits for what is still on the device.
        """
        old, handover = self._lane, Handover(lane.engine.generation)
        self._handover, self._lane = handover, lane
        return old, handover

    def read_by(self, lane: Lane) -> None:
        """Read the engine in use by another decoder, from the next frame on."""
        self._lane = lane

    def pause(self) -> None:
        """Take no more frames; what is on the device is finished."""
        self._flowing.clear()

    def rest(self, timeout_s: float = REST_S) -> bool:
        """Pause, and wait until what was on the device is published; whether that came in time."""
        self._rested = rested = threading.Event()
        self.pause()
        return rested.wait(timeout_s)

    def resume(self) -> None:
        """Go on, with frames a camera gives from now on; nothing changes where it was not paused."""
        if self._flowing.is_set():
            return
        self._fresh_from = time.perf_counter()
        self._flowing.set()

    @property
    def looking(self) -> bool:
        """Whether it takes frames: not between :meth:`pause` and :meth:`resume`."""
        return self._flowing.is_set()

    def stop(self, timeout_s: float = 1.0) -> None:
        """End after the frames that are on the device."""
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout_s)

    def _run_feeder(self) -> None:
        try:
            while not self._stop.is_set():
                if self._flowing.wait(POLL_S):
                    self._feed_one()
                elif (rested := self._rested) is not None:
                    self._rested = None
                    self._started.put(rested)
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
            if not self._flowing.is_set():
                self._first = frame  # a pause began while this thread was waiting for it
            elif frame is not None and not self._stale(frame):
                began = time.perf_counter()
                letterbox = slot.take(frame)
                prepare_ms = (time.perf_counter() - began) * 1e3
                self.begun += 1  # before the call into the driver, which may not come back
                slot.start()
                self._started.put(Started(frame, lane, slot, letterbox, prepare_ms))
                started = True
        finally:
            if not started:
                lane.engine.release(slot)

    def _stale(self, frame: Frame) -> bool:
        """Whether it waited in a camera through a pause; of a file every frame is wanted."""
        return frame.media_s is None and frame.captured_s < self._fresh_from

    def _run_finisher(self) -> None:
        try:
            while (started := self._started.get()) is not None:
                if isinstance(started, Started):
                    self._finish_one(started)
                else:
                    started.set()
        except Exception as error:  # noqa: BLE001 - top of the thread: the agent ends with this error
            self._failure = self._failure or error
            self._stop.set()
            self._give_back()
        self._on_end(self._failure)

    def _give_back(self) -> None:
        """Wait for what is still on the device: an engine whose slots are lost cannot be closed or used again."""
        while (started := self._started.get()) is not None:
            if isinstance(started, Started):
                with suppress(EngineError):
                    started.slot.wait()
                started.lane.engine.release(started.slot)

    def _finish_one(self, started: Started) -> None:
        frame, lane, slot = started.frame, started.lane, started.slot
        try:
            slot.wait()
            infer_ms, stages_ms = slot.latency_ms, slot.stages_ms
            arrived = time.perf_counter()
            poses = _decoded(lane.decoder, slot, started.letterbox, frame)
        except EngineError as error:
            if self._on_broken is None:
                raise
            self._failures = self._failures + 1 if lane is self._failing else 1
            self._failing = lane
            if self._failures % FAILURES_MAX == 0:
                self._on_broken(error, lane.engine.generation)
            return
        finally:
            self.finished += 1
            lane.engine.release(slot)
        self._failures = 0
        decoded = time.perf_counter()
        if self._track is not None:
            poses = self._track(poses, frame)
        tracked = time.perf_counter()
        self._publish(Result(frame, poses, lane.engine.generation, lane.engine.spec.model))
        finished = time.perf_counter()
        self._hand_over(lane.engine.generation, frame.seq, finished)
        self._timed(
            Timing(
                capture_ms=frame.capture_ms,
                prepare_ms=started.prepare_ms,
                infer_ms=infer_ms,
                detect_ms=stages_ms and stages_ms[0],
                pose_ms=stages_ms and stages_ms[1],
                decode_ms=(decoded - arrived) * 1e3,
                track_ms=(tracked - decoded) * 1e3,
                publish_ms=(finished - tracked) * 1e3,
                age_ms=(finished - frame.captured_s) * 1e3,
                finished_s=finished,
                persons=len(poses.certain()),
            )
        )

    def _hand_over(self, generation: int, seq: int, finished_s: float) -> None:
        last, self._last = self._last, (generation, seq, finished_s)
        handover = self._handover
        if handover is None or generation != handover.generation:
            return
        if last is not None:
            handover.gap_ms = (finished_s - last[2]) * 1e3
            handover.frames_lost = seq - last[1] - 1
        handover.first_s = finished_s
        self._handover = None
        handover.done.set()


def infer(engine: Network, decoder: Decoder, frame: Frame) -> Poses:
    """One frame, start to poses, nothing else in flight. Raises EngineError."""
    slot = engine.acquire(timeout_s=60.0)
    if slot is None:
        raise EngineError(f"{engine.spec.device} did not answer within 60 s")
    try:
        letterbox = slot.take(frame, alone=True)
        slot.start()
        slot.wait()
        return _decoded(decoder, slot, letterbox, frame)
    finally:
        engine.release(slot)  # else closing the engine would wait for it


def _decoded(decoder: Decoder, slot: Request, letterbox: Letterbox, frame: Frame) -> Poses:
    """Everybody, inside the picture: a network also guesses what lies beyond its border."""
    rows, columns = frame.size
    return decoder.decode(slot.outputs, letterbox).within(columns, rows)
