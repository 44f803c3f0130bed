"""The annotated video file.

H.264, which every browser plays, where PyAV's FFmpeg has an encoder for it; else what OpenCV's wheel brings.
"""

from collections import deque
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from agent.capture.frame import Image
from agent.errors import ConfigError
from agent.pipeline import Result
from agent.poses.drawing import blur_people, draw, person_regions
from agent.poses.skeleton import Poses

CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".mkv": "mp4v"}
"""OpenCV's codec per file ending; all of them are built into its wheel."""
H264_SUFFIXES = frozenset({".mp4", ".mkv"})
H264: Final = "libx264"
BLUR_FRAMES = 10
"""People stay blurred where they were this many frames ago: a network misses somebody for a frame or two."""


class H264Encoder:
    """Takes pictures of one size, uint8 (H, W, 3) BGR, into a file. Raises ConfigError when it cannot be written."""

    def __init__(self, path: Path, fps: float, size: tuple[int, int]) -> None:
        self._path = path
        # What tells where the pictures stand comes first: a browser begins before it has all of it.
        options = {"movflags": "+faststart"} if path.suffix == ".mp4" else {}
        self._broken = False
        try:
            path.touch()  # FFmpeg finds out with the first packet
            self._file = av.open(str(path), "w", container_options=options)
            self._stream = self._file.add_stream(H264, rate=Fraction(fps).limit_denominator(1000))
        except (OSError, av.FFmpegError) as error:
            raise unwritable(path) from error
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = "yuv420p"  # what browsers take
        self._stream.options = {"preset": "superfast", "crf": "23"}

    def write(self, image: Image) -> None:
        """Append one. Raises ConfigError when the file cannot be written."""
        self._encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24"))

    def release(self) -> None:
        """Finish the file."""
        try:
            if not self._broken:
                self._encode(None)
        finally:
            with suppress(OSError, av.FFmpegError):  # it has been told
                self._file.close()

    def _encode(self, frame: av.VideoFrame | None) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._file.mux(packet)
        except (OSError, av.FFmpegError) as error:
            self._broken = True
            raise unwritable(self._path) from error


def unwritable(path: Path) -> ConfigError:
    """Say that the file cannot be written."""
    return ConfigError(f"output.video_file {path} cannot be written", hint="check the folder, its permissions and room")


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
        self._writer: H264Encoder | cv2.VideoWriter | None = None
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
        width, height = self._size
        if (image.shape[1] // 2 * 2, image.shape[0] // 2 * 2) == self._size:
            drawn = drawn[:height, :width]
        else:
            drawn = np.asarray(cv2.resize(drawn, self._size), np.uint8)
        self._writer.write(np.ascontiguousarray(drawn))

    def _blurred(self, image: Image, poses: Poses) -> Image:
        if image.shape != self._shape:  # where people were is told in pixels of the former picture
            self._covered.clear()
            self._shape = image.shape
        self._covered.append(person_regions(poses))
        return blur_people(image, np.concatenate(self._covered))

    def _open(self, size: tuple[int, int]) -> None:
        size = (max(2, size[0] // 2 * 2), max(2, size[1] // 2 * 2))
        if self._path.suffix in H264_SUFFIXES and H264 in av.codecs_available:
            self._writer, self._size = H264Encoder(self._path, self._fps, size), size
            return
        writer = cv2.VideoWriter(str(self._path), cv2.VideoWriter.fourcc(*CODECS[self._path.suffix]), self._fps, size)
        if not writer.isOpened():
            raise unwritable(self._path)
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
