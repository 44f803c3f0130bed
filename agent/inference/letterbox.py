"""Fitting a frame into the input of a network without bending it, and the way back."""

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.capture.frame import Frame, Image
from agent.capture.planes import Planes

Floats = NDArray[np.float32]

HALF = np.float32(0.5)
PADDING = 114
"""Grey that fills the rest of the input; the value most detectors are trained with."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """The mapping between pixels of the original frame and pixels of the input.

    The picture sits in the top left corner of the input. Both axes keep their own exact ratio, because the resized
    picture has whole pixels: that is what makes the way back exact.
    """

    width: int
    height: int
    """Size of the resized picture inside the input."""
    scale: Floats
    """(2,): pixels of the input per pixel of the frame, x and y."""
    shift: Floats
    """(2,): added last on the way back to the frame, x and y."""
    corner: Floats
    """(2,): of the region in pixels of the frame, x and y."""

    @classmethod
    @functools.lru_cache(maxsize=64)
    def fit(cls, region: tuple[int, int, int, int], target: tuple[int, int]) -> "Letterbox":
        """Largest fit of a region (x, y, width, height) of the frame in an input of ``target`` (height, width)."""
        x, y, width, height = region
        ratio = min(target[0] / height, target[1] / width)
        new_width = max(1, min(target[1], round(width * ratio)))
        new_height = max(1, min(target[0], round(height * ratio)))
        scale = np.array((new_width / width, new_height / height), np.float32)
        corner = np.array((x, y), np.float32)
        # cv2.resize samples pixel centres: centre maps to centre, half a pixel from the corner on both sides.
        return cls(new_width, new_height, scale, corner - HALF + HALF / scale, corner)

    def to_frame(self, points: Floats) -> Floats:
        """Map (..., 2) x and y from pixels of the input to pixels of the original frame."""
        mapped: Floats = points / self.scale + self.shift
        return mapped

    def corner_to_frame(self, points: Floats) -> Floats:
        """Map as ``to_frame``, but corner to corner: what counts is the scale, and no half pixel is made good.

        Ultralytics teaches its networks with places that were multiplied by the scale, and reads them so.
        """
        mapped: Floats = points / self.scale + self.corner
        return mapped

    def to_input(self, points: Floats) -> Floats:
        """Map (..., 2) x and y from pixels of the original frame to pixels of the input."""
        mapped: Floats = (points - self.shift) * self.scale
        return mapped


def prepare(frame: Frame, out: Image) -> Letterbox:
    """Write the frame's region of interest, letterboxed, into ``out``: uint8 (H, W, 3) BGR, the input of a request."""
    area, picture = frame.area, frame.picture
    region = (area.x, area.y, area.width, area.height)
    box = Letterbox.fit(region, (out.shape[0], out.shape[1]))
    inside = out[: box.height, : box.width]
    if isinstance(picture, Planes):
        picture.fit(region, inside)
    else:
        cv2.resize(frame.cut(), (box.width, box.height), dst=inside, interpolation=cv2.INTER_LINEAR)
    out[box.height :] = PADDING
    out[: box.height, box.width :] = PADDING
    return box
