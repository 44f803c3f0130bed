"""What the published graph does behind its heads, written down node by node without a thought for speed."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.poses.movenet import JOINT_SEEN, STRIDE, VARIANCE, Heads

Numbers = NDArray[Any]

PEOPLE = 6


@dataclass(frozen=True, slots=True)
class Selection:
    """The six people of the published graph. Lengths are pixels of the input."""

    joints: Numbers
    """(6, 17, 2): x and y."""
    shared_scores: Numbers
    """(6, 17): the published graph's, the highest weight that any of the six gives the joint's cell."""
    own_scores: Numbers
    """(6, 17): the weight that the joint's own person gives its cell."""
    centers: Numbers
    """(6,): of the heatmap."""

    def person_scores(self, joint_scores: Numbers) -> Numbers:
        """(6,): the centre's score times the mean of the joints that are seen."""
        seen = joint_scores > JOINT_SEEN
        return np.asarray(self.centers * (joint_scores * seen).sum(axis=1) / np.maximum(seen.sum(axis=1), 1))


def sigmoid(values: Numbers) -> Numbers:
    return np.asarray(1 / (1 + np.exp(-values)))


def select(heads: Heads) -> Selection:
    """Select six people as the published graph does."""
    rows, columns = heads.center.shape[1:3]
    center = sigmoid(heads.center[0, ..., 0])
    peaks = np.where(np.abs(center - cv2.dilate(center, np.ones((5, 5)))) < 1e-6, center, 0)
    best: Numbers = np.argsort(-peaks.ravel(), kind="stable")[:PEOPLE]
    place = np.stack((best // columns, best % columns), axis=1)
    y, x = place.T

    guesses = place[:, None] + heads.keypoint_regress[0, y, x].reshape(PEOPLE, 17, 2)
    middle = place + heads.box_offset[0, y, x]
    half = np.maximum(heads.box_scale[0, y, x], 0) / 2
    top_left, bottom_right = (np.clip(middle + sign * half, 0, (rows, columns)) for sign in (-1, 1))

    cells = np.moveaxis(np.indices((rows, columns)), 0, -1)  # (rows, columns, 2)
    inside = ((cells >= top_left[:, None, None]) & (cells < bottom_right[:, None, None])).all(axis=-1)
    distance = np.square(cells[None, :, :, None] - guesses[:, None, None]).sum(axis=-1)  # (6, rows, columns, 17)
    weights = sigmoid(heads.keypoint_heatmap[0]) * np.exp(-distance / (VARIANCE * min(rows, columns)))
    weights *= inside[..., None]

    row, column = np.unravel_index(weights.reshape(PEOPLE, -1, 17).argmax(axis=1), (rows, columns))
    joint = np.arange(17)
    offsets = heads.keypoint_offset.reshape(rows, columns, 17, 2)[row, column, joint]
    return Selection(
        joints=((np.stack((row, column), axis=-1) + offsets) * STRIDE)[..., ::-1],
        shared_scores=weights.max(axis=0)[row, column, joint],
        own_scores=weights[np.arange(PEOPLE)[:, None], row, column, joint],
        centers=peaks.ravel()[best],
    )
