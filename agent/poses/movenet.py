"""MoveNet MultiPose, decoded from its six heads.

The arithmetic is that of the original graph behind its heads (Google, MoveNet MultiPose Lightning, version 1), read
from the graph itself, without its limit of six people:

- a person is a 5x5 local maximum of the centre heatmap;
- the box head gives a box around that cell, the regression head a first guess of each joint;
- a joint is the cell inside the box with the highest heatmap value, weighted by a Gaussian around the guess whose
  variance grows with the input, moved by the offset head;
- the person's score is the centre's, times the mean of the joints that are seen.
"""

from typing import ClassVar, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.inference.letterbox import Letterbox
from agent.poses.skeleton import Poses

Floats = NDArray[np.float32]

STRIDE = 4
"""Pixels of the input per cell."""
JOINT_SEEN = 0.126953125
"""Joints at or below this score do not count in the person's score; the constant of the original graph."""
VARIANCE = 0.300048828125
"""Of the Gaussian around the guess, in cells, per cell of the input's short side; the constant of the original graph."""
PEAK = np.ones((5, 5), np.uint8)


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


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-x))."""
    result: Floats = 1 / (1 + np.exp(-logits))
    return result


class MoveNetDecoder:
    """Heads to poses. ``person_score_min`` 0..1 and ``persons_max`` bound what is reported."""

    roles: ClassVar[tuple[str, ...]] = Heads._fields

    def __init__(self, *, person_score_min: float, persons_max: int) -> None:
        self._score_min = person_score_min
        self._persons_max = persons_max

    def decode(self, raw: tuple[Floats, ...], letterbox: Letterbox) -> Poses:
        """Poses in pixels of the original frame, best first."""
        heads = Heads(*(head[0] for head in raw))
        rows, columns, center_scores = self._centers(heads.center)
        if not len(rows):
            return Poses.nobody()
        boxes = _boxes(heads, rows, columns)
        guesses = heads.keypoint_regress[rows, columns].reshape(-1, 17, 2)
        guesses = guesses + np.stack((rows, columns), axis=1)[:, None].astype(np.float32)
        joints, joint_scores = _joints(heads, guesses, boxes)

        seen = joint_scores > JOINT_SEEN
        mean_seen = np.where(seen, joint_scores, 0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
        scores = center_scores * mean_seen
        order = np.argsort(-scores, kind="stable")
        order = order[scores[order] >= self._score_min][: self._persons_max]
        return _in_frame(joints[order], joint_scores[order], boxes[order], scores[order], letterbox)

    def _centers(self, center: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
        """Rows, columns and scores of the local maxima that can still reach the threshold."""
        logits = center[..., 0]
        # No joint scores above 1, so a person never scores above its centre: weaker centres need no decoding.
        floor = np.log(max(self._score_min, 1e-6) / max(1 - self._score_min, 1e-6))
        peaks = (logits >= floor) & (logits == cv2.dilate(logits, PEAK))
        rows, columns = np.nonzero(peaks)
        return rows, columns, sigmoid(logits[rows, columns])


def _boxes(heads: Heads, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Floats:
    """(N, 4): top, left, bottom, right in cells, inside the picture."""
    half = np.maximum(heads.box_scale[rows, columns], 0) / 2
    middle = np.stack((rows, columns), axis=1).astype(np.float32) + heads.box_offset[rows, columns]
    limit = np.array(heads.center.shape[:2] * 2, np.float32)
    corners: Floats = np.clip(np.concatenate((middle - half, middle + half), axis=1), 0, limit)
    return corners


def _joints(heads: Heads, guesses: Floats, boxes: Floats) -> tuple[Floats, Floats]:
    """The joints of each person: (N, 17, 2) y, x in cells, and (N, 17) scores."""
    height, width = heads.center.shape[:2]
    variance = np.float32(VARIANCE * min(height, width))
    people = len(guesses)
    cells = np.zeros((people, 17, 2), np.intp)
    scores = np.zeros((people, 17), np.float32)
    joint = np.arange(17)
    # A cell is inside when its index is: top <= row < bottom. An empty box leaves cell (0, 0) with score 0.
    corners = np.ceil(boxes).astype(np.intp)
    for person, (top, left, bottom, right) in enumerate(corners.tolist()):
        if top >= bottom or left >= right:
            continue
        guess = guesses[person]
        row_weight = np.exp(-np.square(np.arange(top, bottom, dtype=np.float32)[:, None] - guess[:, 0]) / variance)
        column_weight = np.exp(-np.square(np.arange(left, right, dtype=np.float32)[:, None] - guess[:, 1]) / variance)
        weighted = sigmoid(heads.keypoint_heatmap[top:bottom, left:right])
        weighted *= row_weight[:, None]
        weighted *= column_weight[None]
        flat = weighted.reshape(-1, 17)
        best = flat.argmax(axis=0)
        scores[person] = flat[best, joint]
        cells[person, :, 0] = top + best // (right - left)
        cells[person, :, 1] = left + best % (right - left)
    offsets = heads.keypoint_offset.reshape(height, width, 17, 2)[cells[..., 0], cells[..., 1], joint]
    return cells + offsets, scores


def _in_frame(joints: Floats, joint_scores: Floats, boxes: Floats, scores: Floats, letterbox: Letterbox) -> Poses:
    """From cells of the heads to pixels of the original frame."""
    keypoints = np.empty((len(scores), 17, 3), np.float32)
    keypoints[..., :2] = letterbox.to_frame(joints[..., ::-1] * np.float32(STRIDE))
    keypoints[..., 2] = joint_scores
    first = letterbox.to_frame(boxes[:, 1::-1] * np.float32(STRIDE))
    last = letterbox.to_frame(boxes[:, :1:-1] * np.float32(STRIDE))
    return Poses(keypoints, np.concatenate((first, last - first), axis=1), scores.astype(np.float32))
