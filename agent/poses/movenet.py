"""MoveNet MultiPose, decoded from its six heads.

The arithmetic is that of the original graph behind its heads (Google, MoveNet MultiPose Lightning, version 1), read
from the graph itself, without its limit of six people:

- a person is a 5x5 local maximum of the centre heatmap;
- the box head gives a box around that cell, the regression head a first guess of each joint;
- a joint is the cell inside the box with the highest heatmap value, weighted by a Gaussian around the guess whose
  variance grows with the input, moved by the offset head;
- the person's score is the centre's, times the mean of the joints that are seen.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.inference.letterbox import Letterbox
from agent.poses.skeleton import Poses

Floats = NDArray[np.float32]
Indices = NDArray[np.intp]

STRIDE = 4
"""Pixels of the input per cell."""
JOINT_SEEN = 0.126953125
"""Joints at or below this score do not count in the person's score; the constant of the original graph."""
VARIANCE = 0.300048828125
"""Of the Gaussian around the guess, per cell of the input's short side; the constant of the original graph."""
PEAK = np.ones((5, 5), np.uint8)
JOINT = np.arange(17)
CELL, HALF, ONE = np.float32(STRIDE), np.float32(0.5), np.float32(1)
PADDED_CELLS = 4096
"""People are searched together while their windows, padded to the largest, stay this small; found by measuring."""


class Heads(NamedTuple):
    """Outputs of the network, float32, for one picture of H x W cells."""

    center: Floats
    """(1, H, W, 1) logits."""
    keypoint_regress: Floats
    """(1, H, W, 34): y, x of each joint, in cells from the cell."""
    keypoint_heatmap: Floats
    """(1, H, W, 17) logits."""
    keypoint_offset: Floats
    """(1, H, W, 34): y, x of each joint inside its cell."""
    box_scale: Floats
    """(1, H, W, 2): height and width in cells."""
    box_offset: Floats
    """(1, H, W, 2): y, x of the box's centre inside its cell."""


class MoveNetDecoder:
    """Heads to poses. ``person_score_min`` 0..1 and ``persons_max`` bound what is reported.

    Written for few calls of numpy: with a handful of people, their number and not the arithmetic is the cost.
    """

    roles: tuple[str, ...] = Heads._fields

    def __init__(self, *, person_score_min: float, persons_max: int) -> None:
        self._score_min = person_score_min
        self._persons_max = persons_max
        # No joint scores above 1, so a person never scores above its centre: weaker centres need no decoding.
        odds = max(person_score_min, 1e-6) / max(1 - person_score_min, 1e-6)
        self._logit_min = np.float32(np.log(odds))

    def decode(self, raw: tuple[Floats, ...], letterbox: Letterbox) -> Poses:
        """Poses in pixels of the original frame, best first."""
        height, width = raw[0].shape[1:3]
        heads = Heads(*(head.reshape(height * width, -1) for head in raw))
        centers = self._centers(heads.center.reshape(height, width))
        if not len(centers):
            return Poses.nobody()
        places = np.stack((centers // width, centers % width), axis=1).astype(np.float32)
        corners = _boxes(heads, centers, places, (height, width))
        guesses = heads.keypoint_regress.take(centers, axis=0).reshape(-1, 17, 2) + places[:, None]
        joints, joint_scores = _joints(heads, guesses, np.ceil(corners).astype(np.intp), (height, width))

        seen = joint_scores > JOINT_SEEN
        mean_seen = (joint_scores * seen).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
        scores = sigmoid(heads.center.take(centers)) * mean_seen.astype(np.float32)
        order = (-scores).argsort(kind="stable")[: self._persons_max]
        order = order[scores.take(order) >= self._score_min]
        return _in_frame(joints[order], joint_scores[order], corners[order], scores[order], letterbox)

    def _centers(self, logits: Floats) -> Indices:
        """Flat indices of the local maxima that can still reach the threshold."""
        highest = cv2.dilate(logits, PEAK)
        return np.flatnonzero(logits.ravel() >= np.maximum(highest, self._logit_min).ravel())


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-x))."""
    return np.reciprocal(np.exp(-logits) + ONE)


def _boxes(heads: Heads, centers: Indices, places: Floats, size: tuple[int, int]) -> Floats:
    """(N, 4): top, left, bottom, right in cells, inside the picture."""
    half = np.maximum(heads.box_scale.take(centers, axis=0), 0) * HALF
    middle = places + heads.box_offset.take(centers, axis=0)
    corners: Floats = np.concatenate((middle - half, middle + half), axis=1)
    return corners.clip(0, np.array(size * 2, np.float32), out=corners)


def _joints(heads: Heads, guesses: Floats, corners: Indices, size: tuple[int, int]) -> tuple[Floats, Floats]:
    """The joints of each person: (N, 17, 2) y, x in cells, and (N, 17) scores."""
    spans = corners[:, 2:] - corners[:, :2]
    padded = len(spans) * int(spans.max()) ** 2
    if len(spans) == 1 or padded <= PADDED_CELLS:
        return _joints_of_similar(heads, guesses, corners, size)
    # One person near the camera would make everybody's window as large as theirs.
    each = [_joints_of_similar(heads, guesses[n : n + 1], corners[n : n + 1], size) for n in range(len(spans))]
    return np.concatenate([joints for joints, _ in each]), np.concatenate([scores for _, scores in each])


def _joints_of_similar(heads: Heads, guesses: Floats, corners: Indices, size: tuple[int, int]) -> tuple[Floats, Floats]:
    """The joints of people whose boxes, (N, 4) top, left, bottom, right, are searched as one array."""
    people, (height, width) = len(guesses), size
    spread = np.float32(-1 / (VARIANCE * min(height, width)))
    tall, wide = np.maximum((corners[:, 2:] - corners[:, :2]).max(axis=0), 1).tolist()
    # (N, cells, y or x): the Gaussian is separable. A cell is inside when top <= row < bottom, and weighs nothing else.
    lines = corners[:, None, :2] + np.arange(max(tall, wide))[:, None]
    weight = np.exp(np.square(lines[:, :, None] - guesses[:, None]) * spread, dtype=np.float32)
    weight *= (lines < corners[:, None, 2:])[:, :, None]
    lines = np.minimum(lines, (height - 1, width - 1))
    inside = (lines[:, :tall, 0, None] * width + lines[:, None, :wide, 1]).reshape(people, -1)

    weighted = sigmoid(heads.keypoint_heatmap.take(inside, axis=0)).reshape(people, tall, wide, 17)
    weighted *= weight[:, :tall, None, :, 0]
    weighted *= weight[:, None, :wide, :, 1]
    flat = weighted.reshape(people, -1, 17)
    best = flat.argmax(axis=1)
    person = np.arange(people)[:, None]
    cells = inside[person, best]
    joints = heads.keypoint_offset.reshape(-1, 17, 2)[cells, JOINT]
    joints[..., 0] += cells // width
    joints[..., 1] += cells % width
    return joints, flat[person, best, JOINT]


def _in_frame(joints: Floats, joint_scores: Floats, corners: Floats, scores: Floats, letterbox: Letterbox) -> Poses:
    """From cells of the heads, y before x, to pixels of the original frame."""
    keypoints = np.empty((len(scores), 17, 3), np.float32)
    keypoints[..., :2] = letterbox.to_frame(joints[..., ::-1] * CELL)
    keypoints[..., 2] = joint_scores
    boxes = letterbox.to_frame(corners.reshape(-1, 2, 2)[..., ::-1] * CELL).reshape(-1, 4)
    boxes[:, 2:] -= boxes[:, :2]
    return Poses(keypoints, boxes, scores)
