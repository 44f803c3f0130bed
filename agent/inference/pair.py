"""A network of two stages as one: a detector finds people, a pose network looks at each of them.

The detector looks at every few frames, and does so while the poses of the frame before are still being computed. In
between a person is expected where their joints were last; whoever is new is found at the next detection.
People are computed one a request, several requests at a time: on a processor a batch is no faster than its parts, and
this way any device string runs it, BATCH and HETERO included.
"""

import math
import queue
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from agent.capture.frame import Frame, Image
from agent.errors import EngineError
from agent.inference.crop import Crops
from agent.inference.engine import Engine, Slot
from agent.inference.letterbox import Letterbox
from agent.inference.rhythm import Rhythm
from agent.inference.spec import EngineFacts, EngineSpec
from agent.poses.oks import AREA_OF_BOX, oks
from agent.poses.simcc import BODY, SEEN, boxes_of, joints_of, scores_of
from agent.poses.yolox import Detections

Floats = NDArray[np.float32]

IN_FLIGHT: Final = 2
"""Frames: one whose poses are computed, one that is looked at by the detector."""
DETECTED: Final = 0.05
"""People the detector scores lower are not looked at. Half hidden people score low; whether it is anybody is better
told by the pose: nobody's joints score next to nothing."""
BEGINS: Final = np.float32(0.2)
"""Whom it scores lower is looked at only where somebody is expected, and begins nowhere: what is half hidden now was
in full view before, and most of the rest is nobody. After ByteTrack (Y. Zhang et al., "ByteTrack:
multi-object tracking by associating every detection box", ECCV 2022). A frame that stands alone has no before."""
ENOUGH: Final = 4
"""Of a newcomer so many of COCO's joints have to be seen, as OpenPose's demo asks of everybody. Of fewer it may be an
arm beside a post: that is told when it is found again in the next frame."""
SAME_BOX: Final = 0.3
"""Where a detected box overlaps an expected one by more, they are one person's, and the detector's is taken."""
LOST: Final = np.float32(0.3)
"""Whoever scores lower has not been seen in a frame."""
TWICE: Final = np.float32(0.7)
"""Object keypoint similarity from which two boxes have shown the same person."""
EXPECTED_S: Final = 0.15
"""So long after a frame a person is expected where they were in it. Later a walker is out of their own box: looked for
there, a part of them is found, a second time, beside whom the detector finds."""
ANSWER_S: Final = 60.0
NOBODY: Final[Floats] = np.zeros((0, 4), np.float32)


@dataclass(frozen=True, slots=True)
class Stages:
    """How the two work together."""

    persons_max: int
    """At most so many people are looked at in a frame, the largest and most central first."""
    period: int | None = None
    """The detector looks at every so many frames; None follows what the box can do."""


class PairSlot:
    """One frame on its way: taken, looked at by the detector where that is due, its people's poses computed."""

    def __init__(self, pair: "Pair") -> None:
        self._pair = pair
        self._frame: Frame | None = None
        self._alone = False
        self._detecting: Slot | None = None
        self._letterbox: Letterbox | None = None
        self.outputs: tuple[Floats, ...] = ()
        self._stages_ms = (0.0, 0.0)

    def take(self, frame: Frame, *, alone: bool = False) -> Letterbox:
        """Keep the frame, and write it into a request of the detector where that is to look at it."""
        pair = self._pair
        self._frame, self._alone = frame, alone
        if alone or pair.rhythm.due(frame.seq, time.perf_counter(), frame.scene_s):
            self._detecting = pair.detector.acquire(ANSWER_S)
            if self._detecting is None:
                raise EngineError(f"the detector on {pair.detector.spec.device} did not answer within {ANSWER_S:.0f} s")
            self._letterbox = self._detecting.take(frame)
            return self._letterbox
        area = frame.area
        return Letterbox.fit((area.x, area.y, area.width, area.height), (pair.spec.height, pair.spec.width))

    def start(self) -> None:
        """Start the detector, where it is to look."""
        if self._detecting is not None:
            self._detecting.start()

    def wait(self) -> None:
        """Wait for the detector, then compute everybody's pose. Raises EngineError when one of them failed."""
        assert self._frame is not None
        found, detect_ms = self._detected()
        began = time.perf_counter()
        joints = self._pair.follow(self._frame, found, alone=self._alone)
        self._stages_ms = (detect_ms, (time.perf_counter() - began) * 1e3)
        self.outputs = (joints,)

    def _detected(self) -> tuple[Detections | None, float]:
        slot, letterbox = self._detecting, self._letterbox
        if slot is None or letterbox is None:
            return None, 0.0
        slot.wait()
        found = self._pair.find(slot.outputs, letterbox)
        return found, slot.latency_ms

    def empty(self) -> None:
        """Let go of the frame and of the detector's request."""
        slot, self._detecting = self._detecting, None
        if slot is not None:
            self._pair.detector.release(slot)
        if self._frame is not None and not self._alone:
            self._pair.rhythm.done(time.perf_counter())
        self._frame = None

    @property
    def latency_ms(self) -> float:
        """The detector's inference, and from the first pose's start to the last one's result."""
        return sum(self._stages_ms)

    @property
    def stages_ms(self) -> tuple[float, float] | None:
        """Both of them."""
        return self._stages_ms


class Pair:
    """Two engines that are fed as one: by one thread that starts and another that waits, in order."""

    def __init__(
        self,
        spec: EngineSpec,
        detector: Engine,
        pose: Engine,
        find: Callable[[tuple[Floats, ...], Letterbox], Detections],
        *,
        joints: int,
        bins: float,
        stages: Stages,
    ) -> None:
        self.spec = spec
        """Of the whole: its input is the detector's, everything else the pose network's."""
        self.generation = 1
        self.detector = detector
        self.pose = pose
        self.find = find
        """Reads the detector's outputs."""
        self.rhythm = Rhythm(stages.period, EXPECTED_S)
        self._joints = joints
        self._bins = bins
        self._persons_max = stages.persons_max
        self._expected = NOBODY
        self._expected_s = -math.inf
        """When, on the clock of the scene."""
        self._idle: queue.SimpleQueue[PairSlot] = queue.SimpleQueue()
        for _ in range(IN_FLIGHT):
            self._idle.put(PairSlot(self))

    @property
    def facts(self) -> EngineFacts:
        """Those of the pose network, with the devices and the times of both."""
        pose, detector = self.pose.facts, self.detector.facts
        return replace(
            pose,
            execution_devices=tuple(dict.fromkeys((*detector.execution_devices, *pose.execution_devices))),
            compile_ms=detector.compile_ms + pose.compile_ms,
            first_infer_ms=detector.first_infer_ms + pose.first_infer_ms,
            from_cache=detector.from_cache and pose.from_cache,
        )

    def acquire(self, timeout_s: float) -> PairSlot | None:
        """An idle slot, or None when all are still busy after ``timeout_s``."""
        try:
            return self._idle.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def release(self, slot: PairSlot) -> None:
        """Give a slot back."""
        slot.empty()
        self._idle.put(slot)

    def expected(self, frame: Frame) -> Floats:
        """The boxes (N, 4) of whom the frame before showed, as long as that is not too long ago."""
        return self._expected if frame.scene_s - self._expected_s <= EXPECTED_S else NOBODY

    def follow(self, frame: Frame, found: Detections | None, *, alone: bool) -> Floats:
        """The joints (N, J, 3) of whom the detector ``found`` and who was there in the frame before, best first.

        Who came a moment ago and is hardly seen is left out, until found again. Of a frame that stands ``alone``
        nothing is remembered, and nothing left out. Raises EngineError.
        """
        known = NOBODY if alone else self.expected(frame)
        boxes = known
        if found is not None:
            boxes = _joined(found.boxes if alone else _likely(found, known), known)
        joints = self.look(frame, _foremost(boxes, frame, self._persons_max))
        boxes, joints = _once(joints)
        if alone:
            return joints
        seen = boxes[scores_of(joints) >= LOST]
        # Whoever is lost is looked for where they were last, until the detector has said whether they are there.
        self._expected = seen if found is not None else _joined(seen, known)
        self._expected_s = frame.scene_s
        if len(self._expected) > len(seen):
            self.rhythm.hurry()
        enough = np.count_nonzero(joints[:, :BODY, 2] >= SEEN, axis=1) >= ENOUGH
        told: Floats = joints[enough | _near(boxes, known)]
        return told

    def look(self, frame: Frame, boxes: Floats) -> Floats:
        """The joints (N, J, 3) of whoever is in each of (N, 4) boxes, in pixels of the frame. Raises EngineError."""
        if not len(boxes):
            return np.empty((0, self._joints, 3), np.float32)
        area, picture = frame.area, frame.cut()
        corner = np.array((area.x, area.y), np.float32)
        shift = np.array((area.x, area.y, 0, 0), np.float32)
        crops = Crops.around(boxes - shift, (self.pose.spec.height, self.pose.spec.width))
        joints = np.empty((len(boxes), self._joints, 3), np.float32)
        self._run(picture, crops, joints)
        joints[..., :2] = crops.to_frame(joints[..., :2]) + corner
        return joints

    def _run(self, picture: Image, crops: Crops, joints: Floats) -> None:
        flight: deque[tuple[int, Slot]] = deque()
        try:
            for index in range(len(crops)):
                if len(flight) == self.pose.facts.infer_requests:
                    self._finish(flight, joints)
                slot = self.pose.acquire(ANSWER_S)
                if slot is None:
                    raise EngineError(f"{self.pose.spec.device} did not answer within {ANSWER_S:.0f} s")
                flight.append((index, slot))
                crops.cut(picture, index, slot.input)
                slot.start()
            while flight:
                self._finish(flight, joints)
        finally:
            for _index, slot in flight:  # something failed: they are waited for, else they would be lost
                with suppress(EngineError):
                    slot.wait()
                self.pose.release(slot)

    def _finish(self, flight: deque[tuple[int, Slot]], joints: Floats) -> None:
        index, slot = flight[0]
        slot.wait()
        flight.popleft()
        columns, rows = slot.outputs
        joints_of(columns[0], rows[0], self._bins, joints[index])
        self.pose.release(slot)

    def close(self) -> None:
        """Wait for what still runs and give its memory back."""
        for _ in range(IN_FLIGHT):
            if self.acquire(timeout_s=5.0) is None:
                break
        self.detector.close()
        self.pose.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _likely(found: Detections, known: Floats) -> Floats:
    """The boxes found that are worth a look."""
    likely: Floats = found.boxes[(found.scores >= BEGINS) | _near(found.boxes, known)]
    return likely


def _joined(found: Floats, known: Floats) -> Floats:
    """The boxes found, and those known of whom nobody was found there."""
    return np.concatenate((found, known[~_near(known, found)]))


def _near(boxes: Floats, others: Floats) -> NDArray[np.bool_]:
    """(N,): which of the boxes are the same person's as one of the others."""
    if not len(others):
        return np.zeros(len(boxes), np.bool_)
    return np.asarray(_overlaps(boxes, others).max(axis=1) > SAME_BOX)


def _overlaps(boxes: Floats, others: Floats) -> Floats:
    """(N, M), 0..1: intersection over union."""
    low = np.maximum(boxes[:, None, :2], others[:, :2])
    high = np.minimum(boxes[:, None, :2] + boxes[:, None, 2:], others[:, :2] + others[:, 2:])
    shared = np.maximum(high - low, 0).prod(axis=2)
    whole = boxes[:, 2:].prod(axis=1)[:, None] + others[:, 2:].prod(axis=1) - shared
    overlaps: Floats = shared / np.maximum(whole, np.float32(1e-9))
    return overlaps


def _foremost(boxes: Floats, frame: Frame, most: int) -> Floats:
    """At most so many boxes: the largest and most central. One at the edge counts for half its size."""
    if len(boxes) <= most:
        return boxes
    area = frame.area
    half = np.array((area.width, area.height), np.float32) / 2
    away = np.abs(boxes[:, :2] + boxes[:, 2:] / 2 - np.array((area.x, area.y), np.float32) - half) / half
    rank = boxes[:, 2:].prod(axis=1) * (1 - away.max(axis=1).clip(0, 1) / 2)
    foremost: Floats = boxes[(-rank).argsort(kind="stable")[:most]]
    return foremost


def _once(joints: Floats) -> tuple[Floats, Floats]:
    """Boxes (N, 4) and joints (N, J, 3) of everybody, best first: who was seen in two boxes stays in the better one."""
    scores = scores_of(joints)
    joints = joints[(-scores).argsort(kind="stable")]
    seen = joints[..., 2] >= SEEN
    boxes = boxes_of(joints, seen)
    if len(joints) < 2:
        return boxes, joints
    areas = AREA_OF_BOX * boxes[:, 2:].prod(axis=1)
    alike = oks(joints[:, :BODY] * seen[:, :BODY, None], areas, joints[:, :BODY])
    kept: list[int] = []
    for person, row in enumerate((np.maximum(alike, alike.T) >= TWICE).tolist()):
        if not any(row[better] for better in kept):
            kept.append(person)
    return boxes[kept], joints[kept]
