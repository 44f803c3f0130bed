"""Skeletons on pictures."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.capture.frame import Image
from agent.poses.skeleton import FOOT_LIMBS, LIMBS, Poses

PALETTE = (
    (86, 180, 233), (230, 159, 0), (0, 158, 115), (240, 228, 66),
    (213, 94, 0), (204, 121, 167), (0, 114, 178), (255, 255, 255),
)  # fmt: skip
"""RGB of Okabe and Ito, told apart by colour-blind people as well; one per id, in turn."""
JOINT_DRAWN = 0.2
"""Joints below this score are not drawn."""
FACE = slice(0, 5)
"""Nose, eyes and ears among the joints."""
BLUR_CELLS = 4
"""Squares along the long side of a blurred person: even a face that fills the region is four by four."""


def draw(image: Image, poses: Poses, ids: Sequence[int], caption: str = "") -> Image:
    """A copy of ``image``, uint8 (H, W, 3) BGR, with skeletons, ids and a caption in the top left corner."""
    canvas = image.copy()
    thickness = max(1, round(min(image.shape[:2]) / 300))
    for person, identity in enumerate(ids):
        red, green, blue = PALETTE[identity % len(PALETTE)]
        _draw_person(canvas, poses, person, (blue, green, red), thickness)
        x, y = poses.boxes[person, :2]
        _write(canvas, str(identity), (int(x), max(12, int(y) - 4)), thickness)
    if caption:
        _write(canvas, caption, (6, 6 + 14 * thickness), thickness)
    return canvas


def blur_people(image: Image, regions: NDArray[np.float32]) -> Image:
    """A copy of ``image``, uint8 (H, W, 3) BGR, with a coarse mosaic over each of :func:`person_regions`."""
    canvas = image.copy()
    height, width = image.shape[:2]
    corners = np.column_stack([np.floor(regions[:, :2]), np.ceil(regions[:, 2:])])
    for left, top, right, bottom in np.clip(corners, 0, (width, height, width, height)).astype(int).tolist():
        if left < right and top < bottom:
            inside = canvas[top:bottom, left:right]
            cell = max(inside.shape[:2]) / BLUR_CELLS
            columns, rows = (max(1, round(side / cell)) for side in (right - left, bottom - top))
            # The mean of a square: nothing finer is left to be sharpened again.
            coarse = cv2.resize(inside, (columns, rows), interpolation=cv2.INTER_AREA)
            inside[:] = cv2.resize(coarse, (right - left, bottom - top), interpolation=cv2.INTER_NEAREST)
    return canvas


def person_regions(poses: Poses) -> NDArray[np.float32]:
    """What people cover for certain, float32 (N, 4): left, top, right, bottom in pixels of the original frame.

    Box and joints with a margin. Joints end at eyes and ears and a box may be drawn around them alone, so the margin
    grows with the face: skull and chin reach out less than one and a half times the span of its joints.
    """
    regions = np.zeros((len(poses), 4), np.float32)
    for person, (joints, (x, y, width, height)) in enumerate(zip(poses.keypoints, poses.boxes, strict=True)):
        seen = joints[:, 2] > 0
        feet = np.zeros((0, 3), np.float32) if poses.feet is None else poses.feet[person]
        points = np.vstack([joints[seen, :2], feet[feet[:, 2] > 0, :2], [(x, y), (x + width, y + height)]])
        face = joints[FACE][seen[FACE], :2]
        span = np.ptp(face, axis=0).max() if len(face) else 0.0
        low, high = points.min(axis=0), points.max(axis=0)
        margin = max(0.15 * (high - low).max(), 1.5 * span)
        regions[person] = *(low - margin), *(high + margin)
    return regions


def _draw_person(canvas: Image, poses: Poses, person: int, colour: tuple[int, int, int], thickness: int) -> None:
    joints, limbs = poses.keypoints[person], list(LIMBS)
    if poses.feet is not None:
        joints, limbs = np.concatenate((joints, poses.feet[person])), [*LIMBS, *FOOT_LIMBS]
    points = np.rint(joints[:, :2]).astype(int).tolist()
    seen = joints[:, 2] >= JOINT_DRAWN
    for first, second in limbs:
        if seen[first] and seen[second]:
            cv2.line(canvas, points[first], points[second], colour, thickness, cv2.LINE_AA)
    for joint in np.flatnonzero(seen):
        cv2.circle(canvas, points[joint], thickness + 1, colour, cv2.FILLED, cv2.LINE_AA)


def _write(canvas: Image, text: str, place: tuple[int, int], thickness: int) -> None:
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.45 * thickness
    # A dark rim keeps the text readable on any background.
    cv2.putText(canvas, text, place, font, size, (0, 0, 0), thickness + 2, cv2.LINE_AA)
    cv2.putText(canvas, text, place, font, size, (255, 255, 255), thickness, cv2.LINE_AA)
