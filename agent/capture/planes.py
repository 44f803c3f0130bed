"""A picture as its decoder gives it: brightness in one plane, colour in others, coarser ones.

A network looks at a small picture. To make the decoder's planes small and convert what is left costs a fraction of
converting the whole to BGR first, which is done for whoever looks at the pixels, once, when they do.
"""

import threading
from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


def _matrix(luma: float, black: float, chroma: float) -> NDArray[np.float32]:
    """(3, 4): from Y, Cr, Cb to B, G, R of BT.601; luma and chroma are what a step of theirs is in 0..255."""
    colours = np.array([[1, 0, 1.772], [1, -0.714136, -0.344136], [1, 1.402, 0]]) * (luma, chroma, chroma)
    return np.column_stack((colours, colours @ (-black, -128, -128))).astype(np.float32)


_FULL: Final = _matrix(1, 0, 1)
_LIMITED: Final = _matrix(255 / 219, 16, 255 / 224)


class Planes:
    """Nobody writes into them. Colours are of BT.601."""

    def __init__(
        self, luma: Bytes, chroma: tuple[Bytes, ...], *, full_range: bool, convert: Callable[[], Bytes]
    ) -> None:
        self.luma = luma
        """uint8 (H, W)."""
        self.chroma = chroma
        """uint8, of any size: Cb and Cr as two planes (h, w), or as one (h, w, 2)."""
        self.full_range = full_range
        """Whether black is 0 and white 255, and not 16 and 235."""
        self.shape = (*luma.shape, 3)
        """That of the picture: (H, W, 3)."""
        self._convert = convert
        self._lock = threading.Lock()
        self._image: Bytes | None = None

    def image(self) -> Bytes:
        """uint8 (H, W, 3) BGR, the same array every time."""
        with self._lock:
            if self._image is None:
                self._image = self._convert()
            return self._image

    def turned(self, turn: int) -> "Planes":
        """The picture turned by one of OpenCV's codes."""
        return Planes(
            _rotated(self.luma, turn),
            tuple(_rotated(plane, turn) for plane in self.chroma),
            full_range=self.full_range,
            convert=lambda: _rotated(self.image(), turn),
        )

    def green(self, step: int) -> NDArray[np.int16]:
        """(H, W) of every so many pixels: their green, 0..255."""
        rows, columns = -(-self.luma.shape[0] // step), -(-self.luma.shape[1] // step)
        picture = self._converted((0, 0, self.luma.shape[1], self.luma.shape[0]), (columns, rows), cv2.INTER_NEAREST)
        return picture[..., 1].astype(np.int16)

    def fit(self, region: tuple[int, int, int, int], out: Bytes) -> None:
        """Write a region (x, y, width, height) into ``out``, uint8 (h, w, 3) BGR, at its size."""
        self._converted(region, (out.shape[1], out.shape[0]), cv2.INTER_LINEAR, out)

    def _converted(
        self, region: tuple[int, int, int, int], size: tuple[int, int], interpolation: int, out: Bytes | None = None
    ) -> Bytes:
        parts = [_part(plane, region, self.shape) for plane in (self.luma, *self.chroma)]
        small = [cv2.resize(part, size, interpolation=interpolation) for part in parts]
        blue, red = small[1:] if len(small) == 3 else cv2.split(small[1])
        matrix = _FULL if self.full_range else _LIMITED
        return np.asarray(cv2.transform(cv2.merge((small[0], red, blue)), matrix, dst=out), dtype=np.uint8)


def _part(plane: Bytes, region: tuple[int, int, int, int], shape: tuple[int, int, int]) -> Bytes:
    """What of a plane shows the region, in whole pixels of the plane."""
    x, y, width, height = region
    coarse_y, coarse_x = -(-shape[0] // plane.shape[0]), -(-shape[1] // plane.shape[1])
    return plane[y // coarse_y : -(-(y + height) // coarse_y), x // coarse_x : -(-(x + width) // coarse_x)]


def _rotated(array: Bytes, turn: int) -> Bytes:
    return np.asarray(cv2.rotate(array, turn), dtype=np.uint8)
