"""SimCC, the outputs of RTMPose: for each joint how likely each column and each row of the input is.

Two outputs (1, J, W * bins) and (1, J, H * bins); a joint is where both are highest, and its score the lower of the
two maxima, which are no probabilities but about 1 for what is seen well (MMPose, ``get_simcc_maximum``). J is COCO's
17, or Halpe's 26, whose first 17 are those of COCO, then head, neck, hip, and big toe, small toe and heel, left before
right in each pair (https://github.com/Fang-Haoshu/Halpe-FullBody).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.inference.letterbox import Letterbox
from agent.poses.skeleton import Poses

Floats = NDArray[np.float32]

BODY: Final = 17
HALPE: Final = 26
FEET_FROM: Final = 20
SEEN_MIN: Final = 3
"""So many seen joints make a person; of fewer, all joints are asked."""
SEEN: Final = np.float32(0.3)
"""Joints scored lower say nothing about where a person is."""


def joints_of(simcc_x: Floats, simcc_y: Floats, bins: float, out: Floats) -> None:
    """Write the joints of one person, (J, 3), into ``out``: x and y in pixels of the input, score 0..1.

    ``simcc_x`` and ``simcc_y`` are (J, columns) and (J, rows), ``bins`` of them a pixel.
    """
    x, y = simcc_x.argmax(axis=1), simcc_y.argmax(axis=1)
    rows = np.arange(len(out))
    out[:, 0] = x
    out[:, 1] = y
    out[:, :2] /= np.float32(bins)
    np.minimum(simcc_x[rows, x], simcc_y[rows, y], out=out[:, 2])


def boxes_of(joints: Floats, seen: NDArray[np.bool_]) -> Floats:
    """(N, 4): x, y, width and height around the joints that are ``seen`` (N, J); all zero where none is.

    ``joints`` is (N, J, 2 or 3).
    """
    places = joints[..., :2]
    low = np.where(seen[..., None], places, np.float32(np.inf)).min(axis=1)
    high = np.where(seen[..., None], places, np.float32(-np.inf)).max(axis=1)
    boxes = np.concatenate((low, high - low), axis=1)
    return np.where(seen.any(axis=1, keepdims=True), boxes, np.float32(0))


class SimccDecoder:
    """Outputs to the pose of whoever fills the picture. ``person_score_min`` 0..1 bounds what is reported."""

    roles: tuple[str, ...] = ("simcc_x", "simcc_y")

    def __init__(self, *, bins: float, person_score_min: float) -> None:
        self._bins = bins
        self._score_min = person_score_min

    def decode(self, raw: tuple[Floats, ...], letterbox: Letterbox) -> Poses:
        """One person in pixels of the original frame, or nobody."""
        joints = np.empty((1, raw[0].shape[1], 3), np.float32)
        joints_of(raw[0][0], raw[1][0], self._bins, joints[0])
        joints[..., :2] = letterbox.to_frame(joints[..., :2])
        return people_of(joints, self._score_min, 1)


class PeopleDecoder:
    """What a network of two stages found to poses. ``person_score_min`` 0..1 and ``persons_max`` bound it."""

    roles: tuple[str, ...] = ("joints",)
    """float32 (N, J, 3): x and y in pixels of the original frame, score."""

    def __init__(self, *, person_score_min: float, persons_max: int) -> None:
        self._score_min = person_score_min
        self._persons_max = persons_max

    def decode(self, raw: tuple[Floats, ...], letterbox: Letterbox) -> Poses:
        """Poses, best first."""
        return people_of(raw[0], self._score_min, self._persons_max)


def scores_of(joints: Floats) -> Floats:
    """(N,), 0..1: the mean score of COCO's joints that are seen; of all of them where hardly any is.

    Half of somebody at the border of the picture is as certain as the whole of somebody in the middle.
    """
    each = joints[:, :BODY, 2].clip(0, 1)
    seen = each >= SEEN
    count = seen.sum(axis=1)
    scores: Floats = np.where(count >= SEEN_MIN, (each * seen).sum(axis=1) / np.maximum(count, 1), each.mean(axis=1))
    return scores.astype(np.float32)


def people_of(joints: Floats, score_min: float, most: int) -> Poses:
    """Poses of the ``most`` best of (N, J, 3) that score ``score_min`` or more, best first."""
    scores = scores_of(joints)
    order = (-scores).argsort(kind="stable")[:most]
    order = order[scores[order] >= score_min]
    if not len(order):
        return Poses.nobody()
    return posed(joints[order])


def posed(joints: Floats) -> Poses:
    """Poses of (N, J, 3) joints, in their order.

    A box is around the joints that are seen, and all of them where none is.
    """
    seen = np.asarray(joints[..., 2] >= SEEN)
    seen |= ~seen.any(axis=1, keepdims=True)
    boxes, scores = boxes_of(joints, seen), scores_of(joints)
    joints = joints.copy()
    joints[..., 2].clip(0, 1, out=joints[..., 2])
    feet = joints[:, FEET_FROM:] if joints.shape[1] == HALPE else None
    return Poses(joints[:, :BODY], boxes, scores, feet=feet)
