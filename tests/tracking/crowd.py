"""People made of numbers: skeletons that walk along straight lines."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.poses.skeleton import Poses

STANDING = np.array(
    [
        (0.50, 0.05), (0.52, 0.03), (0.48, 0.03), (0.55, 0.04), (0.45, 0.04), (0.62, 0.20), (0.38, 0.20), (0.66, 0.36),
        (0.34, 0.36), (0.67, 0.50), (0.33, 0.50), (0.58, 0.53), (0.42, 0.53), (0.58, 0.75), (0.42, 0.75), (0.58, 0.97),
        (0.42, 0.97),
    ],
    np.float32,
)  # fmt: skip
"""(17, 2): joints of a standing person in a box one high and one wide, COCO order."""


@dataclass(frozen=True, slots=True)
class Walker:
    """Somebody at x, y (top left corner) at 0 s, walking at pixels per second, ``height`` pixels tall."""

    x: float
    y: float
    dx: float = 0.0
    dy: float = 0.0
    height: float = 100.0


def crowd(
    walkers: Sequence[Walker], at_s: float, random: np.random.Generator | None = None, noise: float = 0.0
) -> Poses:
    """What a perfect network finds of them at a moment, or one whose joints are off by ``noise`` pixels."""
    if not walkers:
        return Poses.nobody()
    corners = np.array([(walker.x + walker.dx * at_s, walker.y + walker.dy * at_s) for walker in walkers])
    heights = np.array([walker.height for walker in walkers])[:, None, None]
    points = corners[:, None] + STANDING * heights
    if random is not None:
        points += random.normal(0, noise, points.shape)
    keypoints = np.concatenate((points, np.full((len(walkers), 17, 1), 0.9)), axis=2).astype(np.float32)
    low, high = keypoints[..., :2].min(axis=1), keypoints[..., :2].max(axis=1)
    boxes: NDArray[np.float32] = np.concatenate((low, high - low), axis=1)
    return Poses(keypoints, boxes, np.full(len(walkers), 0.8, np.float32))


def permuted(poses: Poses, order: Sequence[int]) -> Poses:
    """Some of these people, in this order."""
    rows = np.array(order, np.intp)
    return Poses(poses.keypoints[rows], poses.boxes[rows], poses.scores[rows])
