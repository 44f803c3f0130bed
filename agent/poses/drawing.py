"""Skeletons on pictures."""

from collections.abc import Sequence

import cv2
import numpy as np

from agent.capture.frame import Image
from agent.poses.skeleton import LIMBS, Poses

PALETTE = (
    (86, 180, 233), (230, 159, 0), (0, 158, 115), (240, 228, 66),
    (213, 94, 0), (204, 121, 167), (0, 114, 178), (255, 255, 255),
)  # fmt: skip
"""RGB of Okabe and Ito, told apart by colour-blind people as well; one per id, in turn."""
JOINT_DRAWN = 0.2
"""Joints below this score are not drawn."""


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


def _draw_person(canvas: Image, poses: Poses, person: int, colour: tuple[int, int, int], thickness: int) -> None:
    joints = poses.keypoints[person]
    points = np.rint(joints[:, :2]).astype(int).tolist()
    seen = joints[:, 2] >= JOINT_DRAWN
    for first, second in LIMBS:
        if seen[first] and seen[second]:
            cv2.line(canvas, points[first], points[second], colour, thickness, cv2.LINE_AA)
    for joint in np.flatnonzero(seen):
        cv2.circle(canvas, points[joint], thickness + 1, colour, cv2.FILLED, cv2.LINE_AA)


def _write(canvas: Image, text: str, place: tuple[int, int], thickness: int) -> None:
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.45 * thickness
    # A dark rim keeps the text readable on any background.
    cv2.putText(canvas, text, place, font, size, (0, 0, 0), thickness + 2, cv2.LINE_AA)
    cv2.putText(canvas, text, place, font, size, (255, 255, 255), thickness, cv2.LINE_AA)
