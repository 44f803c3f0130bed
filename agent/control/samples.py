"""The last pictures with people in them, to try another engine on before it may serve."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.capture.frame import Frame, Image
from agent.pipeline import Result
from agent.poses.agreement import CERTAIN

SAMPLES_MAX = 16
EVERY_S = 2.0
"""Seconds between two samples: neighbours show the same poses."""
LONG_SIDE_MAX = 640
"""Pixels; as much as networks look at."""
QUALITY = (cv2.IMWRITE_JPEG_QUALITY, 95)
NOTHING: Image = np.empty((0, 0, 3), np.uint8)


class Samples:
    """Fed with every result; keeps few. In memory alone: pictures of people do not go to disk.

    ``first`` is what the camera showed before there was a result: another engine that is asked for until then has its
    picture's shape all the same.
    """

    def __init__(self, first: Frame | None = None) -> None:
        self._first = first
        self._lock = threading.Lock()
        self._kept: deque[tuple[Frame, NDArray[np.uint8]]] = deque(maxlen=SAMPLES_MAX)
        """Frames without their pictures, which are kept as JPEG: a tenth of the memory."""
        self._next_s = 0.0
        self._shape = (0, 0)
        """Of what is looked at in the frames that are kept, in the camera's pixels."""
        self.latest: Result | None = None
        self.results = 0
        """So many came."""
        self.recorder: Callable[[Result], None] | None = None
        """Gets every result too, while a job records frames."""

    def offer(self, result: Result) -> None:
        """Look at a result; called by the pipeline, in order."""
        self.latest, self._first = result, None
        self.results += 1
        if (recorder := self.recorder) is not None:
            recorder(result)
        area = result.frame.area
        if (area.width, area.height) != self._shape:
            self._shape, self._next_s = (area.width, area.height), 0.0
            with self._lock:
                self._kept.clear()  # of another camera, or of the same one set to another format
        if result.frame.captured_s < self._next_s or not (result.poses.scores >= CERTAIN).any():
            return
        self._next_s = result.frame.captured_s + EVERY_S
        small = shrunk(result.frame)
        _done, jpeg = cv2.imencode(".jpg", small.image, QUALITY)
        with self._lock:
            self._kept.append((replace(small, picture=NOTHING), np.asarray(jpeg, np.uint8)))

    @property
    def people_seen(self) -> bool:
        """Whether a frame with people is among those kept."""
        return bool(self._kept)

    @property
    def newest(self) -> Frame | None:
        """What the camera shows, in its own size; None as long as it shows nothing."""
        first, latest = self._first, self.latest
        return latest.frame if latest is not None else first

    def frames(self) -> tuple[Frame, ...]:
        """Frames with people, shrunk, or the last one when nobody has been seen yet; none as long as no camera was."""
        with self._lock:
            kept = tuple(self._kept)
        if not kept:
            newest = self.newest
            return () if newest is None else (shrunk(newest),)
        return tuple(
            replace(frame, picture=np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8)) for frame, jpeg in kept
        )


def shrunk(frame: Frame) -> Frame:
    """What the network looks at of a frame, at most LONG_SIDE_MAX pixels long."""
    return replace(frame, picture=shrunk_image(frame.cut()), region=None)


def shrunk_image(image: Image) -> Image:
    """A copy, at most LONG_SIDE_MAX pixels long."""
    ratio = LONG_SIDE_MAX / max(image.shape[:2])
    if ratio >= 1:
        return image.copy()
    return np.asarray(cv2.resize(image, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA), np.uint8)
