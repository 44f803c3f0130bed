"""Cutting people out of a frame for a network that looks at one at a time, and the way back."""

from dataclasses import dataclass
from typing import Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.capture.frame import Image

Floats = NDArray[np.float32]

MARGIN: Final = np.float32(1.25)
"""A box is widened by so much: what pose networks are trained with."""
HALF: Final = np.float32(0.5)


@dataclass(frozen=True, slots=True)
class Crops:
    """The affine warps of several people: each box, widened and filled up to the input's shape, fills the input."""

    scale: Floats
    """(N,): pixels of the input per pixel of the frame, the same for x and y."""
    shift: Floats
    """(N, 2): added last on the way to the input, x and y in pixels of the input."""
    size: tuple[int, int]
    """Height and width of the input."""

    @classmethod
    def around(cls, boxes: Floats, size: tuple[int, int]) -> Self:
        """Warps of (N, 4) boxes, x, y, width and height in pixels of the frame, to inputs of ``size`` (height, width).

        The centre of the box comes to the centre of the input. A box without extent is taken for one of a pixel.
        """
        height, width = np.float32(size[0]), np.float32(size[1])
        sides = np.maximum(boxes[:, 2:], np.float32(1)) * MARGIN
        scale = np.minimum(width / sides[:, 0], height / sides[:, 1])
        centres = boxes[:, :2] + boxes[:, 2:] * HALF
        return cls(scale, np.array((width, height), np.float32) * HALF - centres * scale[:, None], size)

    def __len__(self) -> int:
        return len(self.scale)

    def cut(self, picture: Image, index: int, out: Image) -> None:
        """Write one person of ``picture``, uint8 (H, W, 3), into ``out`` of this size; black beyond the picture."""
        (x, y), scale = self.shift[index].tolist(), float(self.scale[index])
        warp = np.array(((scale, 0, x), (0, scale, y)))
        cv2.warpAffine(picture, warp, (self.size[1], self.size[0]), dst=out, flags=cv2.INTER_LINEAR)

    def to_frame(self, points: Floats) -> Floats:
        """Map (N, J, 2) x and y from pixels of each person's input to pixels of the frame."""
        mapped: Floats = (points - self.shift[:, None]) / self.scale[:, None, None]
        return mapped

    def to_input(self, points: Floats) -> Floats:
        """Map (N, J, 2) x and y from pixels of the frame to pixels of each person's input."""
        mapped: Floats = points * self.scale[:, None, None] + self.shift[:, None]
        return mapped
