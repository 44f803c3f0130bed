"""COCO's object keypoint similarity: how alike two poses are, 0..1.

The definition is COCO's (cocodataset.org/#keypoints-eval), the sigmas are those of pycocotools' ``kpt_oks_sigmas``.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.poses.skeleton import Poses

Floats = NDArray[np.float32]

SIGMAS: Final = np.array(
    (26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89), np.float32
) / np.float32(1000)
"""(17,): how far people who annotate COCO differ on a joint, per square root of the person's area."""
AREA_OF_BOX: Final = np.float32(0.53)
"""What a person covers of its box, as xtcocotools takes it: COCO measures the outline, a decoder knows the box."""


def oks(reference: Floats, area: Floats, others: Floats) -> Floats:
    """(N, M): similarity of each of N reference poses to each of M others.

    ``reference`` is (N, 17, 3), x, y and whether the joint counts (above 0); ``area`` is (N,), of the reference people
    in square pixels; of ``others``, (M, 17, 2 or 3), only x and y count. A reference pose of which no joint counts is
    like nobody: 0.
    """
    squares = np.square(reference[:, None, :, :2] - others[None, :, :, :2]).sum(axis=3)
    spread = 2 * np.square(2 * SIGMAS) * area[:, None]
    counts = reference[..., 2] > 0
    alike = np.exp(-squares / np.maximum(spread, np.float32(1e-9))[:, None]) * counts[:, None]
    similarity: Floats = alike.sum(axis=2) / np.maximum(counts.sum(axis=1), 1)[:, None]
    return similarity


def similarity(reference: Poses, others: Poses, joint_score_min: float) -> Floats:
    """(N, M): :func:`oks` of decoded people, over the joints ``reference`` scores at least ``joint_score_min``."""
    joints = reference.keypoints * (reference.keypoints[..., 2:] >= joint_score_min)
    return oks(joints, AREA_OF_BOX * reference.boxes[:, 2] * reference.boxes[:, 3], others.keypoints)


def pose_similarity(tracked: Floats, tracked_areas: Floats, found: Floats, areas: Floats, looseness: Floats) -> Floats:
    """(T, D), 0..1: object keypoint similarity over the joints both have.

    Other than in :func:`oks` a joint that one of the two lacks says nothing, because it may be hidden;
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
