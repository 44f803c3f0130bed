"""The annotated video file.

H.264, which every browser plays, where PyAV's FFmpeg has an encoder for it. What was written stays readable however the
process ends: an MP4 is written in fragments, which need no table of contents at their end.
"""

from collections import deque
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from agent.capture.frame import Image
from agent.errors import ConfigError
from agent.pipeline import Result
from agent.poses.drawing import blur_people, draw, person_regions
from agent.poses.skeleton import Poses


class Coding(NamedTuple):
    """How an encoder of FFmpeg's is asked."""

    pix_fmt: str
    options: dict[str, str]


CODINGS: Final = {
    "libx264": Coding("yuv420p", {"preset": "superfast", "crf": "23"}),  # in the colours that browsers take
    "mpeg4": Coding("yuv420p", {"qmin": "3", "qmax": "3"}),
    "mjpeg": Coding("yuvj420p", {"qmin": "3", "qmax": "3"}),
}
CODECS: Final = {".mp4": ("libx264", "mpeg4"), ".avi": ("mjpeg",), ".mkv": ("libx264", "mpeg4")}
"""Encoders per file ending; the first that is there."""
FRAGMENTS: Final = {"movflags": "+frag_keyframe+empty_moov+default_base_moof"}
KEY_S: Final = 5.0
"""Seconds between pictures that need no other: so much is lost where the process is killed."""
BLUR_FRAMES = 10
"""People stay blurred where they were this many frames ago: a network misses somebody for a frame or two."""


class Encoder:
    """Takes pictures of one size, uint8 (H, W, 3) BGR, into a file. Raises ConfigError when it cannot be written."""

    def __init__(self, path: Path, fps: float, size: tuple[int, int]) -> None:
        self._path = path
        self._broken = False
        codec = next(name for name in CODECS[path.suffix] if name in av.codecs_available)
        coding = CODINGS[codec]
        try:
            path.touch()  # FFmpeg finds out with the first packet
            self._file = av.open(str(path), "w", container_options=FRAGMENTS if path.suffix == ".mp4" else {})
            stream = self._file.add_stream(codec, rate=Fraction(fps).limit_denominator(1000))
        except (OSError, av.FFmpegError) as error:
            raise unwritable(path, error) from error
        assert isinstance(stream, av.VideoStream)
        self._stream = stream
        stream.width, stream.height = size
        stream.pix_fmt = coding.pix_fmt
        stream.options = {**coding.options, "g": str(max(1, round(KEY_S * fps)))}

    def write(self, image: Image) -> None:
        """Append one. Raises ConfigError when the file cannot be written."""
        self._encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24"))

    def release(self) -> None:
        """Finish the file. Raises ConfigError when it cannot be written; not again, where that has been told."""
        try:
            if not self._broken:
                self._encode(None)
        finally:
            told, self._broken = self._broken, True
            try:
                self._file.close()
            except (OSError, av.FFmpegError) as error:
                if not told:
                    raise unwritable(self._path, error) from error

    def _encode(self, frame: av.VideoFrame | None) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._file.mux(packet)
        except (OSError, av.FFmpegError) as error:
            self._broken = True
            raise unwritable(self._path, error) from error


def unwritable(path: Path, error: OSError | av.FFmpegError) -> ConfigError:
    """Say that the file cannot be written, and why."""
    why = error.strerror or error
    return ConfigError(f"output.video_file {path} cannot be written: {why}", hint="check the folder's rights and room")


class AnnotatedVideo:
    """Writes every result, drawn, to a video file.

    The file opens with the first frame and takes its size, cut to even sides, which codecs want; later frames of
    another size are scaled to it. With ``blur`` nobody who was found can be recognised. ``on_failure`` hears, once,
    that the file cannot be written, and no more is; without it whoever writes or closes is told.
    """

    def __init__(
        self,
        path: Path,
        fps: float,
        *,
        blur: bool = False,
        on_failure: Callable[[ConfigError], None] | None = None,
    ) -> None:
        if path.suffix not in CODECS:
            raise ConfigError(f"output.video_file {path}: expected a name ending in {', '.join(CODECS)}")
        self._path = path
        self._fps = fps
        self._writer: Encoder | None = None
        self._on_failure = on_failure
        self._failed = False
        self._size = (0, 0)
        self._moments: deque[float] = deque(maxlen=30)
        self._blur = blur
        self._covered: deque[NDArray[np.float32]] = deque(maxlen=BLUR_FRAMES)
        self._shape: tuple[int, ...] = ()

    def write(self, result: Result) -> None:
        """Append one frame. Raises ConfigError when the file cannot be written, and nobody hears of it otherwise."""
        if self._failed:
            return
        try:
            self._write(result)
        except ConfigError as error:
            self._fail(error)

    def _write(self, result: Result) -> None:
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
        self._writer, self._size = Encoder(self._path, self._fps, size), size

    def _fail(self, error: ConfigError) -> None:
        if self._on_failure is None:
            raise error
        if not self._failed:
            self._failed = True
            self._on_failure(error)

    def close(self) -> None:
        """Finish the file. Raises as :meth:`write` does."""
        if self._writer is None:
            return
        try:
            self._writer.release()
        except ConfigError as error:
            self._fail(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
