"""The annotated video file."""

from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.capture.frame import Image
from agent.errors import ConfigError
from agent.pipeline import Result
from agent.poses.drawing import blur_people, draw, person_regions
from agent.poses.skeleton import Poses

CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".mkv": "mp4v"}
"""Codec per file ending; all of them are built into OpenCV's wheel."""
BLUR_FRAMES = 10
"""People stay blurred where they were this many frames ago: a network misses somebody for a frame or two."""


class AnnotatedVideo:
    """Writes every result, drawn, to a video file.

    The file opens with the first frame and takes its size, cut to even sides, which codecs want; later frames of
    another size are scaled to it. With ``blur`` nobody who was found can be recognised.
    """

    def __init__(self, path: Path, fps: float, *, blur: bool = False) -> None:
        if path.suffix not in CODECS:
            raise ConfigError(f"output.video_file {path}: expected a name ending in {', '.join(CODECS)}")
        self._path = path
        self._fps = fps
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._moments: deque[float] = deque(maxlen=30)
        self._blur = blur
        self._covered: deque[NDArray[np.float32]] = deque(maxlen=BLUR_FRAMES)
        self._shape: tuple[int, ...] = ()

    def write(self, result: Result) -> None:
        """Append one frame. Raises ConfigError when the file cannot be written."""
        image = result.frame.image
        self._moments.append(result.frame.captured_s)
        if self._writer is None:
            self._open((image.shape[1], image.shape[0]))
        assert self._writer is not None
        span = self._moments[-1] - self._moments[0]
        rate = f"{(len(self._moments) - 1) / span:.1f} FPS" if span > 0 else ""
        if self._blur:
            image = self._blurred(image, result.poses)
        shown = result.poses.certain()
        drawn = draw(image, shown, shown.names(), rate)
        same_size = (image.shape[1], image.shape[0]) == self._size
        self._writer.write(drawn if same_size else cv2.resize(drawn, self._size))

    def _blurred(self, image: Image, poses: Poses) -> Image:
        if image.shape != self._shape:  # where people were is told in pixels of the former picture
            self._covered.clear()
            self._shape = image.shape
        self._covered.append(person_regions(poses))
        return blur_people(image, np.concatenate(self._covered))

    def _open(self, size: tuple[int, int]) -> None:
        codec = cv2.VideoWriter.fourcc(*CODECS[self._path.suffix])
        writer = cv2.VideoWriter(str(self._path), codec, self._fps, size)
        if not writer.isOpened():
            raise ConfigError(
                f"output.video_file {self._path} cannot be written", hint="check the folder and its permissions"
            )
        self._writer, self._size = writer, size

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
