"""Fitting a frame into the input of a network without bending it, and the way back."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.capture.frame import Frame, Image

PADDING = 114
"""Grey that fills the rest of the input; the value most detectors are trained with."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """The mapping between pixels of the original frame and pixels of the input.

    The picture sits in the top left corner of the input. Both axes keep their own exact ratio, because the resized
    picture has whole pixels: that is what makes the way back exact.
    """

    left: int
    top: int
    """Where the region of interest begins in the frame."""
    scale_x: float
    scale_y: float
    """Pixels of the input per pixel of the frame."""
    frame_width: int
    frame_height: int
    width: int
    height: int
    """Size of the resized picture inside the input."""

    @classmethod
    def fit(cls, frame: tuple[int, int], region: tuple[int, int, int, int], target: tuple[int, int]) -> "Letterbox":
        """Largest fit of ``region`` (x, y, width, height) of a ``frame`` (height, width) in ``target`` (height, width)."""
        x, y, width, height = region
        ratio = min(target[0] / height, target[1] / width)
        new_width = max(1, min(target[1], round(width * ratio)))
        new_height = max(1, min(target[0], round(height * ratio)))
        return cls(x, y, new_width / width, new_height / height, frame[1], frame[0], new_width, new_height)

    def to_frame(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map (..., 2) x and y from pixels of the input to pixels of the original frame.

        Pixel centres map to pixel centres, as cv2.resize samples them.
        """
        scale = np.array((self.scale_x, self.scale_y), np.float32)
        shift = np.array((self.left, self.top), np.float32) - 0.5
        mapped: NDArray[np.float32] = (points + np.float32(0.5)) / scale + shift
        return mapped

    def to_input(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map (..., 2) x and y from pixels of the original frame to pixels of the input."""
        scale = np.array((self.scale_x, self.scale_y), np.float32)
        shift = np.array((self.left, self.top), np.float32) - 0.5
        mapped: NDArray[np.float32] = (points - shift) * scale - np.float32(0.5)
        return mapped


def prepare(frame: Frame, out: Image) -> Letterbox:
    """Write the frame's region of interest, letterboxed, into ``out``: uint8 (H, W, 3) BGR, the input of a request."""
    region = frame.region
    rows, columns = frame.image.shape[:2]
    if region is None:
        x, y, width, height, picture = 0, 0, columns, rows, frame.image
    else:
        x, y, width, height = region.x, region.y, region.width, region.height
        picture = frame.image[y : y + height, x : x + width]
    box = Letterbox.fit((rows, columns), (x, y, width, height), (out.shape[0], out.shape[1]))
    # Area averaging: a plain bilinear sample of a picture three times larger skips most of its pixels.
    shrinking = box.scale_x < 1
    cv2.resize(
        picture,
        (box.width, box.height),
        dst=out[: box.height, : box.width],
        interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR,
    )
    out[box.height :] = PADDING
    out[: box.height, box.width :] = PADDING
    return box
