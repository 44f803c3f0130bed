"""How alike a person who is followed and a person who was found are."""

import numpy as np
from numpy.typing import NDArray

from agent.poses.oks import SIGMAS

Floats = NDArray[np.float32]


def pose_similarity(tracked: Floats, tracked_areas: Floats, found: Floats, areas: Floats, looseness: Floats) -> Floats:
    """(T, D), 0..1: object keypoint similarity over the joints both have.

    Other than in :func:`agent.poses.oks.oks` a joint that one of the two lacks says nothing, because it may be hidden;
    the area, square pixels, is the geometric mean of both; and ``looseness``, (T,), widens the sigmas. Poses are
    (N, 17, 3): x, y and whether the joint is seen (above 0). Two poses without a common joint are not alike: 0.
    """
    apart = tracked[:, None, :, :2] - found[:, :, :2]
    apart *= apart
    widths = 2 * np.square(2 * SIGMAS * looseness[:, None])
    spread = np.sqrt(tracked_areas[:, None] * areas)[..., None] * widths[:, None]
    seen = (tracked[:, None, :, 2] > 0) & (found[:, :, 2] > 0)
    alike = np.exp(apart.sum(axis=3) / -spread) * seen
    similarity: Floats = alike.sum(axis=2) / np.maximum(seen.sum(axis=2, dtype=np.float32), 1)
    return similarity
