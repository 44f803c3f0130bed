"""MoveNet MultiPose, decoded from its six heads.

The arithmetic is that of the original graph behind its heads (Google, MoveNet MultiPose Lightning, version 1), read
from the graph itself, without its limit of six people:

- a person is a 5x5 local maximum of the centre heatmap;
- the box head gives a box around that cell, the regression head a first guess of each joint;
- a joint is the cell inside the box with the highest heatmap value, weighted by a Gaussian around the guess whose
  variance grows with the input, moved by the offset head;
- the person's score is the centre's, times the mean of the joints that are seen.
"""

import functools
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
NOTHING = np.float32(0)
LIFT = np.float32(2**60)
"""Far from a guess the weights are so small that processors take a hundred times as long to multiply them."""
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


class Grid(NamedTuple):
    """What of the arithmetic hangs on the size of the heads alone, H x W cells."""

    places: Floats
    """(H * W, 2): y, x of each cell."""
    size: Floats
    """(2,): H and W."""
    last: NDArray[np.float64]
    """(2,): the last row and column."""
    lines: NDArray[np.float64]
    """(max(H, W), 1): 0, 1, 2 and so on."""
    spread: np.float32
    """By which the square of a distance in cells counts in a joint's Gaussian."""

    @classmethod
    @functools.lru_cache(maxsize=8)
    def of(cls, height: int, width: int) -> "Grid":
        """Of heads of this size; made once."""
        return cls(
            places=np.indices((height, width), np.float32).reshape(2, -1).T.copy(),
            size=np.array((height, width), np.float32),
            last=np.array((height - 1, width - 1), np.float64),
            lines=np.arange(max(height, width), dtype=np.float64)[:, None],
            spread=np.float32(-1 / (VARIANCE * min(height, width))),
        )


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
        heads = Heads(*[head.reshape(height * width, -1) for head in raw])
        centers = self._centers(heads.center.reshape(height, width))
        if not len(centers):
            return Poses.nobody()
        grid = Grid.of(height, width)
        places = grid.places.take(centers, axis=0)
        corners = _boxes(heads, centers, places, grid)
        guesses = heads.keypoint_regress.take(centers, axis=0).reshape(-1, 17, 2) + places[:, None]
        joints, joint_scores = _joints(heads, guesses, np.ceil(corners, dtype=np.float64), grid)

        seen = joint_scores > JOINT_SEEN
        mean_seen = np.add.reduce(joint_scores * seen, axis=1) / np.maximum(np.add.reduce(seen, axis=1), 1)
        scores = sigmoid(heads.center.take(centers)) * mean_seen.astype(np.float32)
        order = (-scores).argsort(kind="stable")[: self._persons_max]
        order = order[scores.take(order) >= self._score_min]
        points = np.concatenate((joints, corners), axis=1).take(order, axis=0)
        return _in_frame(points, joint_scores.take(order, axis=0), scores.take(order), letterbox)

    def _centers(self, logits: Floats) -> Indices:
        """Flat indices of the local maxima that can still reach the threshold."""
        highest = cv2.dilate(logits, PEAK)
        return (logits >= np.maximum(highest, self._logit_min)).ravel().nonzero()[0]


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-x))."""
    worked = np.negative(logits)
    np.exp(worked, out=worked)
    worked += ONE
    return np.reciprocal(worked, out=worked)


def _boxes(heads: Heads, centers: Indices, places: Floats, grid: Grid) -> Floats:
    """(N, 2, 2): top left and bottom right corner of each, y, x in cells, inside the picture."""
    half = np.maximum(heads.box_scale.take(centers, axis=0), NOTHING) * HALF
    middle = places + heads.box_offset.take(centers, axis=0)
    corners = np.empty((len(centers), 2, 2), np.float32)
    np.subtract(middle, half, out=corners[:, 0])
    np.add(middle, half, out=corners[:, 1])
    np.maximum(corners, NOTHING, out=corners)
    return np.minimum(corners, grid.size, out=corners)


def _joints(heads: Heads, guesses: Floats, corners: NDArray[np.float64], grid: Grid) -> tuple[Floats, Floats]:
    """The joints of each person: (N, 17, 2) y, x in cells, and (N, 17) scores.

    ``corners``, (N, 2, 2) in whole cells: a joint is at or behind the first, before the second.
    """
    spans = corners[:, 1] - corners[:, 0]
    longest = np.maximum.reduce(spans, axis=0).tolist()
    tall, wide = max(int(longest[0]), 1), max(int(longest[1]), 1)
    if len(spans) == 1 or len(spans) * tall * wide <= PADDED_CELLS:
        return _joints_of_similar(heads, guesses, corners, (tall, wide), grid)
    # One person near the camera would make everybody's window as large as theirs.
    each = [_joints(heads, guesses[n : n + 1], corners[n : n + 1], grid) for n in range(len(spans))]
    return np.concatenate([joints for joints, _ in each]), np.concatenate([scores for _, scores in each])


def _joints_of_similar(
    heads: Heads, guesses: Floats, corners: NDArray[np.float64], window: tuple[int, int], grid: Grid
) -> tuple[Floats, Floats]:
    """The joints of people who are searched as one array, each in a window of so many rows and columns."""
    people, (tall, wide) = len(guesses), window
    # The Gaussian is separable: (N, cells, y or x). A cell is inside when top <= row < bottom; others weigh nothing.
    lines = corners[:, :1] + grid.lines[: max(window)]
    near = np.minimum(lines, grid.last).astype(np.intp)
    lines[lines >= corners[:, 1:]] = np.inf
    square = lines[..., None] - guesses.transpose(0, 2, 1).astype(np.float64, order="C")[:, None]
    square *= square
    square *= grid.spread
    weight = np.exp(square.astype(np.float32))
    inside = (near[:, :tall, 0, None] * int(grid.size[1]) + near[:, None, :wide, 1]).reshape(people, -1)

    weighted = sigmoid(heads.keypoint_heatmap.take(inside, axis=0)).reshape(people, tall, wide, 17)
    weight[:, :, 0] *= LIFT
    weighted *= weight[:, :tall, None, 0]
    weighted *= weight[:, None, :wide, 1]
    best = weighted.reshape(people, -1, 17).argmax(axis=1)
    best += np.arange(0, inside.size, tall * wide)[:, None]
    cells = inside.ravel().take(best)
    joints = heads.keypoint_offset.reshape(-1, 2).take(cells * 17 + JOINT, axis=0)
    joints += grid.places.take(cells, axis=0)
    return joints, weighted.ravel().take(best * 17 + JOINT) / LIFT


def _in_frame(points: Floats, joint_scores: Floats, scores: Floats, letterbox: Letterbox) -> Poses:
    """From cells of the heads, y before x, to pixels of the original frame.

    ``points``, (N, 19, 2): seventeen joints and the two corners of the box.
    """
    mapped = letterbox.to_frame(points[..., ::-1] * CELL)
    keypoints = np.empty((len(scores), 17, 3), np.float32)
    keypoints[..., :2] = mapped[:, :17]
    keypoints[..., 2] = joint_scores
    boxes = mapped[:, 17:].reshape(-1, 4)
    boxes[:, 2:] -= boxes[:, :2]
    return Poses(keypoints, boxes, scores)
