"""From a decoded picture to a frame: rotation, region of interest, number, time."""

import time
from collections import deque
from datetime import UTC, datetime

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.capture.frame import Frame, Picture, Region
from agent.capture.planes import Planes
from agent.config.tree import Camera, Roi

_ROTATIONS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_STILLNESS_STEP = 8
_MOVED_LEVELS = 8
"""Grey levels by which a cell of the picture changes when something moves in it; a codec stays below."""
_CHANGED_LEVELS = 0.05
"""Grey levels by which a step changes the picture in the mean; where a codec repeats a picture it is less."""
_CHANGED_SHARE = 0.44
_STEPS_S = 2.0
_STEPS_MIN = 5
_NOTHING = np.zeros((0, 0), np.int16)


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

    def frame(self, picture: Picture, *, captured_s: float, started_s: float, media_s: float | None = None) -> Frame:
        """Make the next frame of a picture that arrived at ``captured_s`` and was worked on since ``started_s``."""
        upright = picture if self._rotation is None else _rotated(picture, self._rotation)
        height, width = upright.shape[:2]
        if self._size != (width, height):
            self._size, self._region = (width, height), region_of(self._roi, width, height)
        capture_ms = (time.perf_counter() - started_s) * 1e3
        frame = Frame(upright, self.taken, datetime.now(UTC), captured_s, capture_ms, self._region, media_s)
        self.taken += 1
        return frame


def _rotated(picture: Picture, rotation: int) -> Picture:
    if isinstance(picture, Planes):
        return picture.turned(rotation)
    return np.asarray(cv2.rotate(picture, rotation), dtype=np.uint8)


def _green(picture: Picture) -> NDArray[np.int16]:
    if isinstance(picture, Planes):
        return picture.green(_STILLNESS_STEP)
    return picture[::_STILLNESS_STEP, ::_STILLNESS_STEP, 1].astype(np.int16)


class Stillness:
    """Measures for how long a picture has been standing still, whatever the codec does to it meanwhile.

    A frozen picture comes out of an encoder unchanged most of the time; around key frames it breathes, by a level or
    two. A living picture moves somewhere, or its sensor's noise changes it from frame to frame, in the dark above all:
    only the weakest noise through the hardest compression looks frozen. Whoever comes in ends that at once. Measured on
    the room of the sample clip, darkened, with noise, through x264, x265 and MJPEG.
    """

    def __init__(self) -> None:
        self._fine = _NOTHING
        self._coarse = _NOTHING
        self._steps: deque[tuple[float, bool]] = deque()
        """When each of the last steps from picture to picture began, and whether it changed anything."""
        self._seen_s = 0.0
        self._since_s: float | None = None

    def observe(self, picture: Picture, now_s: float) -> float:
        """Seconds for which the picture has stood still, 0 for one that lives."""
        fine = _green(picture)
        height, width = fine.shape
        coarse = np.asarray(cv2.resize(fine, (min(width, 32), min(height, 24)), interpolation=cv2.INTER_AREA), np.int16)
        if self._coarse.shape != coarse.shape or np.abs(coarse - self._coarse).max() > _MOVED_LEVELS:
            self._fine, self._coarse, self._since_s = fine, coarse, now_s
            self._seen_s = now_s
            self._steps.clear()
            return 0.0
        changed = bool(np.abs(fine - self._fine).mean() > _CHANGED_LEVELS)
        self._steps.append((self._seen_s, changed))
        self._fine, self._seen_s = fine, now_s
        while len(self._steps) > _STEPS_MIN and now_s - self._steps[0][0] > _STEPS_S:
            self._steps.popleft()
        if sum(changed for _, changed in self._steps) > _CHANGED_SHARE * len(self._steps):
            self._since_s = None
            return 0.0
        if self._since_s is None:
            self._since_s = next(began_s for began_s, changed in self._steps if not changed)
        return now_s - self._since_s
