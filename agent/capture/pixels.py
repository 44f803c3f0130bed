"""From what a decoder gives to a picture: upright, square pixels, one moment."""

import os
from fractions import Fraction
from typing import Final

import av
import av.error
import cv2
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane

from agent.capture.frame import Image, Picture
from agent.capture.planes import Planes

_FULL_RANGE: Final = 2  # AVCOL_RANGE_JPEG
_TURNS: Final = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}
_ASPECT_MAX: Final = 8
_JPEG: Final = b"\xff\xd8"
ONLY_WHOLE: Final = {"err_detect": "explode"}
"""For a decoder: else the rest of a picture cut short is whatever was in the buffer before."""
# What full range is in limited range, for luma and for chroma: OpenCV converts planes of limited range alone.
_LUMA: Final = np.round(16 + np.arange(256) * 219 / 255).astype(np.uint8)
_CHROMA: Final = np.round(128 + (np.arange(256) - 128) * 224 / 255).astype(np.uint8)
_BY_OPENCV: Final = frozenset({"yuv420p", "yuvj420p", "nv12"})
_BY_FFMPEG: Final = frozenset({"yuv422p", "yuvj422p", "yuv444p", "yuvj444p"})
_BT601: Final = frozenset({2, 5, 6})
"""Of AVColorSpace: what names none, and the two that are BT.601."""

# A damaged picture is counted and told; OpenCV would print it past the log. What the user set stays.
if "OPENCV_LOG_LEVEL" not in os.environ:
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_FATAL)


def picture(frame: VideoFrame, aspect: Fraction | None) -> Picture:
    """The picture of a decoded frame: its planes where they can be taken as they are, else :func:`bgr`."""
    plain = not frame.interlaced_frame and aspect in (None, 0, 1) and not round(frame.rotation) % 360
    name = frame.format.name
    # FFmpeg converts these by the colours the stream names.
    known = name in _BY_OPENCV or (name in _BY_FFMPEG and frame.colorspace in _BT601)
    if not plain or not known:
        return bgr(frame, aspect)
    planes = tuple(_plane(plane, 2 if name == "nv12" and index else 1) for index, plane in enumerate(frame.planes))
    chroma = planes[1:]
    if name == "nv12":  # of hardware, which has but few frames
        planes = tuple(plane.copy() for plane in planes)
        chroma = (planes[1].reshape(planes[1].shape[0], -1, 2),)
    full_range = name.startswith("yuvj") or frame.color_range == _FULL_RANGE
    return Planes(planes[0], chroma, full_range=full_range, convert=lambda: bgr(frame, None))


def _plane(plane: VideoPlane, values: int) -> Image:
    """(h, w) of a plane of so many values a pixel: memory of its frame, which FFmpeg gives to no other meanwhile."""
    height, stride = plane.height, plane.line_size
    lines = np.frombuffer(memoryview(plane), np.uint8, height * stride)
    return _image(lines.reshape(height, stride)[:, : plane.width * values])


def bgr(frame: VideoFrame, aspect: Fraction | None) -> Image:
    """Convert a decoded frame to uint8 (H, W, 3) BGR that nobody else writes to.

    ``aspect`` is the width of a pixel over its height. Of an interlaced frame every other line is taken: the others are
    of another moment, and a joint would be in two places. Colours are converted by BT.601.
    """
    image = _colours(frame)
    if frame.interlaced_frame and image.shape[0] > 1:
        height, width = image.shape[:2]
        image = _image(cv2.resize(image[::2], (width, height), interpolation=cv2.INTER_LINEAR))
    if aspect and aspect != 1 and Fraction(1, _ASPECT_MAX) <= aspect <= _ASPECT_MAX:
        width = max(1, round(image.shape[1] * aspect))
        image = _image(cv2.resize(image, (width, image.shape[0]), interpolation=cv2.INTER_LINEAR))
    turn = _TURNS.get(round(frame.rotation) % 360)
    return image if turn is None else _image(cv2.rotate(image, turn))


def _colours(frame: VideoFrame) -> Image:
    """OpenCV converts the two usual layouts in a fraction of FFmpeg's time; FFmpeg knows all others."""
    name = frame.format.name
    if name not in _BY_OPENCV or frame.width % 2 or frame.height % 2:
        return np.asarray(frame.to_ndarray(format="bgr24"), dtype=np.uint8)
    planes = np.asarray(frame.to_ndarray(), dtype=np.uint8)
    if name == "yuvj420p" or frame.color_range == _FULL_RANGE:
        for rows, table in ((planes[: frame.height], _LUMA), (planes[frame.height :], _CHROMA)):
            cv2.LUT(rows, table, dst=rows)
    code = cv2.COLOR_YUV2BGR_NV12 if name == "nv12" else cv2.COLOR_YUV2BGR_I420
    return _image(cv2.cvtColor(planes, code))


def _image(array: object) -> Image:
    return np.asarray(array, dtype=np.uint8)


class Stills:
    """Decodes pictures one by one, refusing those of which a part is missing or damaged."""

    def __init__(self) -> None:
        self._decoder = _jpeg_decoder()

    def decode(self, data: bytes) -> Picture | None:
        """Return the picture, turned as its EXIF data say; None when it cannot be decoded whole."""
        if not data:  # to a decoder the end of all pictures
            return None
        if not data.startswith(_JPEG):
            return _other(data)
        try:
            frames = self._decoder.decode(av.Packet(data))
        except av.error.FFmpegError:
            self._decoder = _jpeg_decoder()
            return None
        return picture(frames[0], self._decoder.sample_aspect_ratio) if frames and not frames[0].is_corrupt else None


def _other(data: bytes) -> Image | None:
    """Decode PNG, WebP, BMP or what else OpenCV knows by its first bytes."""
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # more pixels than OpenCV will decode
        return None
    return None if decoded is None else _image(decoded)


def _jpeg_decoder() -> VideoCodecContext:
    decoder = av.CodecContext.create("mjpeg", "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.thread_type = "NONE"
    decoder.options = dict(ONLY_WHOLE)
    return decoder
