"""From a decoded picture to a frame: rotation, region of interest, number, time."""

import time
from datetime import UTC, datetime

import cv2
import numpy as np

from agent.capture.frame import Frame, Image, Region
from agent.config.tree import Camera, Roi

_ROTATIONS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_STILLNESS_STEP = 8


def region_of(roi: Roi, width: int, height: int) -> Region | None:
    """Return the region of interest in pixels of a frame of this size, at least one; None is the whole frame."""
    x, y = min(round(roi.x * width), width - 1), min(round(roi.y * height), height - 1)
    right, bottom = round((roi.x + roi.width) * width), round((roi.y + roi.height) * height)
    region = Region(x, y, max(1, min(right, width) - x), max(1, min(bottom, height) - y))
    return None if region == Region(0, 0, width, height) else region


class Framer:
    """Numbers pictures, turns them upright and marks where to look."""

    def __init__(self, camera: Camera) -> None:
        self._rotation = _ROTATIONS.get(camera.rotate)
        self._roi = camera.roi
        self._size = (0, 0)
        self._region: Region | None = None
        self.taken = 0

    def frame(self, picture: Image, *, captured_s: float, started_s: float, media_s: float | None = None) -> Frame:
        """Make the next frame of a picture that arrived at ``captured_s`` and was worked on since ``started_s``."""
        image = picture if self._rotation is None else _rotated(picture, self._rotation)
        height, width = image.shape[:2]
        if self._size != (width, height):
            self._size, self._region = (width, height), region_of(self._roi, width, height)
        capture_ms = (time.perf_counter() - started_s) * 1e3
        frame = Frame(image, self.taken, datetime.now(UTC), captured_s, capture_ms, self._region, media_s)
        self.taken += 1
        return frame


def _rotated(picture: Image, rotation: int) -> Image:
    return np.asarray(cv2.rotate(picture, rotation), dtype=np.uint8)


class Stillness:
    """Measures for how long the very same picture has been coming.

    Looks at every 8th pixel of every 8th row: the noise of a living sensor changes some of them all the time.
    """

    def __init__(self) -> None:
        self._sample = b""
        self._since_s = 0.0

    def observe(self, picture: Image, now_s: float) -> float:
        """Seconds since this picture was first seen, 0 for a new one."""
        sample = picture[::_STILLNESS_STEP, ::_STILLNESS_STEP].tobytes()
        if sample != self._sample:
            self._sample, self._since_s = sample, now_s
        return now_s - self._since_s
