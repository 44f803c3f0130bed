"""Readers: one picture after the other out of a file, a folder, a camera or a stream, without any policy.

All use of OpenCV's VideoCapture is here.
"""

import errno
import math
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from agent.capture.address import Device, Stream, redact
from agent.capture.frame import Image
from agent.config.tree import Camera
from agent.errors import CaptureError

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
DEFAULT_FPS = 25.0
OPEN_FAULTS = {
    errno.EPERM: "not permitted by the service: its DeviceAllow does not hold, or the video module was loaded after it "
    "started; restart the service",
    errno.EACCES: "not permitted to this user, who has to be in the group `video`",
    errno.EBUSY: "another program uses it",
}
_DIAGNOSIS_TIMEOUT_S = 1.0
# One decoder thread takes a quarter less processor time than one per core, and holds no frames back in between.
_ONE_THREAD = (cv2.CAP_PROP_N_THREADS, 1)


class Reader(Protocol):
    """An open file, folder, camera or stream."""

    period_s: float
    """Seconds from frame to frame by its own account."""

    def grab(self) -> bool:
        """Move on to the next picture, waiting for it if need be; False when there is none."""

    def retrieve(self) -> Image | None:
        """Decode the picture grabbed into a new array; None when this one cannot be decoded."""

    def close(self) -> None:
        """Release the handle."""


@dataclass(frozen=True, slots=True)
class Feed:
    """What a source reads: how to open it anew, whether it has an end, and a name that may be shown."""

    address: str
    open: Callable[[], Reader]
    finite: bool


class VideoReader:
    """An open VideoCapture."""

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self._capture = capture
        fps = capture.get(cv2.CAP_PROP_FPS)
        self.period_s = 1 / fps if math.isfinite(fps) and 0.1 <= fps <= 1000 else 1 / DEFAULT_FPS

    def grab(self) -> bool:
        """Wait for the next picture. FFmpeg decodes here, V4L2 does not."""
        return self._capture.grab()

    def retrieve(self) -> Image | None:
        """Convert the picture to BGR."""
        ok, picture = self._capture.retrieve()
        return np.asarray(picture, dtype=np.uint8) if ok else None

    def close(self) -> None:
        """Release the camera, connection or file."""
        self._capture.release()


class FolderReader:
    """The images of a folder in the order of their names."""

    def __init__(self, folder: Path, fps: float) -> None:
        self._paths = iter(_images(folder))
        self._path = folder
        self.period_s = 1 / fps

    def grab(self) -> bool:
        """Move on to the next file."""
        path = next(self._paths, None)
        self._path = path or self._path
        return path is not None

    def retrieve(self) -> Image:
        """Decode the file. Raises :class:`CaptureError`: in a folder, the damaged file has a name."""
        picture = cv2.imread(str(self._path), cv2.IMREAD_COLOR)
        if picture is None:
            raise CaptureError(f"{self._path} cannot be decoded as an image")
        return np.asarray(picture, dtype=np.uint8)

    def close(self) -> None:
        """Forget the rest."""
        self._paths = iter(())


class LoopingReader:
    """A file or folder that starts again at its end."""

    def __init__(self, open_again: Callable[[], Reader]) -> None:
        self._open_again = open_again
        self._reader = open_again()
        self.period_s = self._reader.period_s

    def grab(self) -> bool:
        """Move on, from the last picture to the first."""
        if self._reader.grab():
            return True
        self._reader.close()
        self._reader = self._open_again()
        return self._reader.grab()

    def retrieve(self) -> Image | None:
        """Decode the picture grabbed."""
        return self._reader.retrieve()

    def close(self) -> None:
        """Release the file."""
        self._reader.close()


def prepare_opencv(read_timeout_s: float) -> None:
    """Set what OpenCV takes from the environment alone, once, before its first capture. What the user set stays."""
    settings = {
        "OPENCV_FFMPEG_CAPTURE_OPTIONS": "rtsp_transport;tcp",
        "OPENCV_FFMPEG_LOGLEVEL": "-8",  # else every attempt at a lost camera prints past the log
        "OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT": str(math.ceil(read_timeout_s)),
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    if "OPENCV_LOG_LEVEL" not in os.environ:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)


def open_video(path: Path) -> VideoReader:
    """Open a video file. Raises :class:`CaptureError`."""
    capture = cv2.VideoCapture()
    if not capture.open(str(path.absolute()), cv2.CAP_FFMPEG, _ONE_THREAD):
        raise CaptureError(f"{path} is not a video that can be decoded")
    return VideoReader(capture)


def open_device(device: Device, camera: Camera) -> VideoReader:
    """Open a V4L2 camera, asking for the configured size. Raises :class:`CaptureError`."""
    if not Path(device.path).exists():
        raise CaptureError(f"there is no {device.path}")
    capture = cv2.VideoCapture()
    if not capture.open(device.path, cv2.CAP_V4L2):
        raise CaptureError(f"{device.path} does not open as a camera: {_why_closed(device.path)}")
    for option, wanted in ((cv2.CAP_PROP_FRAME_WIDTH, camera.width), (cv2.CAP_PROP_FRAME_HEIGHT, camera.height)):
        if wanted is not None:
            capture.set(option, wanted)
    return VideoReader(capture)


def _why_closed(path: str) -> str:
    """OpenCV gives no reason; the kernel does, and tells a service's rule from the rights of a file."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
    except OSError as error:
        return OPEN_FAULTS.get(error.errno or 0, error.strerror or "it cannot be opened")
    return "it is in use, or no camera"


def open_stream(stream: Stream, camera: Camera) -> VideoReader:
    """Connect to a stream within the configured time-outs. Raises :class:`CaptureError`."""
    capture = cv2.VideoCapture()
    timeouts = (
        *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, math.ceil(camera.open_timeout_s * 1e3)),
        *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, math.ceil(camera.read_timeout_s * 1e3)),
    )
    started_s = time.perf_counter()
    if capture.open(stream.url, cv2.CAP_FFMPEG, (*timeouts, *_ONE_THREAD)):
        return VideoReader(capture)
    if time.perf_counter() - started_s >= camera.open_timeout_s:
        raise CaptureError(f"{redact(stream.url)} did not answer within {camera.open_timeout_s:g} s")
    raise CaptureError(f"{redact(stream.url)} {_why_not_opened(stream)}")


def _why_not_opened(stream: Stream) -> str:
    """OpenCV gives no reason, and whoever stands before a dark camera needs one."""
    try:
        socket.create_connection((stream.host, stream.port), _DIAGNOSIS_TIMEOUT_S).close()
    except OSError as error:
        return f"cannot be reached: {error.strerror or error}"
    return "answers, but sends no video: wrong path, user or password?"


def _images(folder: Path) -> Sequence[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
