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

    The picture sits in the top left corner of the input, or in its middle. Both axes keep their own exact ratio:
    the resized picture has whole pixels, and that is what makes the way back exact.
    """

    width: int
    height: int
    """Size of the resized picture inside the input."""
    left: int
    top: int
    """Where it begins there."""
    scale: Floats
    """(2,): pixels of the input per pixel of the frame, x and y."""
    shift: Floats
    """(2,): added last on the way back to the frame, x and y."""
    corner: Floats
    """(2,): of the input in pixels of the frame, x and y."""

    @classmethod
    @functools.lru_cache(maxsize=64)
    def fit(cls, region: tuple[int, int, int, int], target: tuple[int, int], *, centred: bool = False) -> "Letterbox":
        """Largest fit of a region (x, y, width, height) of the frame in an input of ``target`` (height, width)."""
        x, y, width, height = region
        ratio = min(target[0] / height, target[1] / width)
        new_width = max(1, min(target[1], round(width * ratio)))
        new_height = max(1, min(target[0], round(height * ratio)))
        scale = np.array((new_width / width, new_height / height), np.float32)
        left, top = ((target[1] - new_width) // 2, (target[0] - new_height) // 2) if centred else (0, 0)
        corner = np.array((x, y), np.float32) - np.array((left, top), np.float32) / scale
        # cv2.resize samples pixel centres: centre maps to centre, half a pixel from the corner on both sides.
        return cls(new_width, new_height, left, top, scale, corner - HALF + HALF / scale, corner)

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


def prepare(frame: Frame, out: Image, *, centred: bool = False) -> Letterbox:
    """Write the frame's region of interest, letterboxed, into ``out``: uint8 (H, W, 3) BGR, the input of a request."""
    area, picture = frame.area, frame.picture
    region = (area.x, area.y, area.width, area.height)
    box = Letterbox.fit(region, (out.shape[0], out.shape[1]), centred=centred)
    right, bottom = box.left + box.width, box.top + box.height
    inside = out[box.top : bottom, box.left : right]
    if isinstance(picture, Planes):
        picture.fit(region, inside)
    else:
        cv2.resize(frame.cut(), (box.width, box.height), dst=inside, interpolation=cv2.INTER_LINEAR)
    out[: box.top] = PADDING
    out[bottom:] = PADDING
    out[box.top : bottom, : box.left] = PADDING
    out[box.top : bottom, right:] = PADDING
    return box
