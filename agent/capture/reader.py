"""Readers: one picture after the other out of a file, a folder, a camera or a stream, without any policy."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import cv2
import numpy as np
import structlog

from agent.capture.frame import Picture
from agent.capture.video import open_file
from agent.errors import CaptureError

log = structlog.get_logger()

IMAGE_SUFFIXES: Final = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
DECODED_SUFFIXES: Final = frozenset({".avif", ".gif", ".heic", ".heif"})
"""Images that OpenCV does not read and FFmpeg does."""


class Reader(Protocol):
    """An open file, folder, camera or stream."""

    period_s: float
    """Seconds from frame to frame by its own account."""
    paced: bool
    """Whether its pictures come faster than they play, or in bursts: each is due by its time stamp."""
    finite: bool
    """Whether its end is the end of the source, and not a loss."""
    position_s: float
    """Seconds of its own clock from the first picture to the one grabbed."""
    arrived_s: float
    """When the picture grabbed was here, on time.perf_counter()."""
    software_because: str
    """Why software decodes where hardware was asked for; else empty."""
    damaged: int
    """Pictures so far that could not be decoded, or that its file promises and does not hold."""

    def grab(self) -> bool:
        """Move on to the next picture, waiting for it if need be; False when there is none.

        Raises :class:`CaptureError` with the cause where one is known.
        """

    def retrieve(self) -> Picture | None:
        """The picture grabbed, which nobody writes into again; None when this one cannot be decoded."""

    def close(self) -> None:
        """Release the handle."""


@dataclass(frozen=True, slots=True)
class Feed:
    """What a source reads: how to open it anew, whether it has an end, and a name that may be shown."""

    address: str
    open: Callable[[], Reader]
    finite: bool


class FolderReader:
    """The images of a folder in the order of their names; what cannot be decoded is told, counted and passed over."""

    paced = True
    finite = True
    software_because = ""

    def __init__(self, folder: Path, fps: float) -> None:
        self._paths = iter(images_of(folder))
        self._path = folder
        self._taken = 0
        self.period_s = 1 / fps
        self.position_s = 0.0
        self.arrived_s = 0.0
        self.damaged = 0

    def grab(self) -> bool:
        """Move on to the next file."""
        path = next(self._paths, None)
        if path is None:
            return False
        self._path = path
        self.position_s = self._taken * self.period_s
        self.arrived_s = time.perf_counter()
        self._taken += 1
        return True

    def retrieve(self) -> Picture | None:
        """Decode the file."""
        picture = _image_of(self._path)
        if picture is None:
            self.damaged += 1
            log.warning("camera.image_damaged", file=str(self._path))
        return picture

    def close(self) -> None:
        """Forget the rest."""
        self._paths = iter(())


def _image_of(path: Path) -> Picture | None:
    if path.suffix.lower() in DECODED_SUFFIXES:
        try:
            reader = open_file(path)
        except CaptureError:
            return None
        try:
            return reader.retrieve() if reader.grab() else None
        except CaptureError:
            return None
        finally:
            reader.close()
    try:
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    except cv2.error:  # more pixels than OpenCV will decode
        return None
    return None if picture is None else np.asarray(picture, dtype=np.uint8)


def images_of(folder: Path) -> Sequence[Path]:
    """Return the images of a folder in the order of their names; what else lies there is told."""
    there = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    readable = IMAGE_SUFFIXES | DECODED_SUFFIXES
    images = [path for path in there if path.suffix.lower() in readable and path.is_file()]
    if images and (others := [path.name for path in there if path.suffix.lower() not in readable]):
        log.warning("camera.files_skipped", folder=str(folder), skipped=len(others), first=others[0])
    return images


class LoopingReader:
    """A file or folder that starts again at its end; its position goes on growing."""

    paced = True
    finite = True

    def __init__(self, open_again: Callable[[], Reader]) -> None:
        self._open_again = open_again
        self._reader = open_again()
        self._before_s = 0.0
        self._damaged_before = 0
        self.period_s = self._reader.period_s
        self.software_because = self._reader.software_because
        self.position_s = 0.0
        self.arrived_s = 0.0
        self.damaged = 0

    def grab(self) -> bool:
        """Move on, from the last picture to the first."""
        more = self._reader.grab()
        if not more:
            self._before_s = self.position_s + self.period_s
            self._damaged_before += self._reader.damaged
            self._reader.close()
            self._reader = self._open_again()
            more = self._reader.grab()
        self.position_s = self._before_s + self._reader.position_s
        self.arrived_s = self._reader.arrived_s
        self.damaged = self._damaged_before + self._reader.damaged
        self.software_because = self._reader.software_because
        return more

    def retrieve(self) -> Picture | None:
        """Decode the picture grabbed."""
        return self._reader.retrieve()

    def close(self) -> None:
        """Release the file."""
        self._reader.close()
