"""Rotation, region of interest, stillness."""

import struct
from collections.abc import Iterator
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from hypothesis import given
from hypothesis import strategies as st

from agent.capture import Image, Region
from agent.capture.frame import image_of
from agent.capture.picture import Framer, Stillness, region_of
from agent.capture.pixels import Stills, picture
from agent.config.tree import Camera, Roi
from models.shelf.store import Store
from tests.footage import clip_frames


def marked() -> Image:
    """Return a picture 6 wide and 4 high with one white pixel in the upper left corner."""
    image = np.zeros((4, 6, 3), np.uint8)
    image[0, 0] = 255
    return image


@pytest.mark.parametrize(
    ("rotate", "shape", "corner"),
    [(0, (4, 6), (0, 0)), (90, (6, 4), (0, 3)), (180, (4, 6), (3, 5)), (270, (6, 4), (5, 0))],
)
def test_rotation_is_clockwise(rotate: int, shape: tuple[int, int], corner: tuple[int, int]) -> None:
    """A rotation of 90 degrees carries the upper left corner to the upper right."""
    frame = Framer(Camera.model_validate({"rotate": rotate})).frame(marked(), captured_s=0.0, started_s=0.0)
    assert frame.image.shape == (*shape, 3)
    assert frame.image[corner].tolist() == [255, 255, 255]
    assert frame.image.sum() == 3 * 255


def test_region_is_in_pixels_of_the_rotated_frame() -> None:
    """The region of interest is cut from the upright frame and follows a change of its size."""
    framer = Framer(Camera(rotate=90, roi=Roi(x=0.5, y=0.0, width=0.5, height=0.5)))
    assert framer.frame(marked(), captured_s=0.0, started_s=0.0).region == Region(2, 0, 2, 3)
    twice = np.zeros((8, 12, 3), np.uint8)
    assert framer.frame(twice, captured_s=0.0, started_s=0.0).region == Region(4, 0, 4, 6)


def test_whole_frame_has_no_region() -> None:
    """Looking everywhere is None, also when written out."""
    assert region_of(Roi(x=0.0, y=0.0, width=1.0, height=1.0), 640, 480) is None


@given(*[st.floats(0, 0.999)] * 2, *[st.floats(0.001, 1)] * 2, *[st.integers(1, 4000)] * 2)
def test_region_is_never_empty_and_never_outside(
    x: float, y: float, w: float, h: float, width: int, height: int
) -> None:
    """Every legal region holds a pixel of every frame, and none beyond it."""
    region = region_of(Roi(x=x, y=y, width=min(w, 1 - x), height=min(h, 1 - y)), width, height)
    if region is not None:
        assert region.x >= 0
        assert region.y >= 0
        assert region.width >= 1
        assert region.height >= 1
        assert region.x + region.width <= width
        assert region.y + region.height <= height


def test_stillness_is_timed_and_broken_by_what_moves() -> None:
    """The same picture counts up from its first appearance; one in which something moved starts over."""
    stillness, image = Stillness(), np.zeros((64, 64, 3), np.uint8)
    assert [stillness.observe(image, now_s) for now_s in (3.0, 4.0, 9.0)] == [0.0, 1.0, 6.0]
    image[8:24, 16:32] = 200
    assert stillness.observe(image, 10.0) == 0.0


def test_stillness_sees_a_change_of_size() -> None:
    """Two black pictures of different shape are two pictures."""
    stillness = Stillness()
    stillness.observe(np.zeros((64, 32, 3), np.uint8), 0.0)
    assert stillness.observe(np.zeros((32, 128, 3), np.uint8), 1.0) == 0.0


FPS = 10


def stood_still_s(pictures: list[Image], codec: str) -> float:
    """Seconds for which the last of these pictures had stood still, after an encoder and a decoder."""
    stillness, still_s = Stillness(), 0.0
    encoder = av.CodecContext.create(codec, "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.height, encoder.width = pictures[0].shape[:2]
    encoder.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    encoder.framerate, encoder.time_base, encoder.gop_size = Fraction(FPS), Fraction(1, FPS), FPS
    encoder.bit_rate = 600_000
    if codec != "mjpeg":
        encoder.options = {"preset": "ultrafast", "tune": "zerolatency"}
    decoder = av.CodecContext.create({"libx264": "h264", "libx265": "hevc"}.get(codec, codec), "r")
    assert isinstance(decoder, VideoCodecContext)
    frames = (frame for packet in encoded(encoder, pictures) for frame in decoder.decode(packet))
    for number, frame in enumerate((*frames, *decoder.decode(None))):
        still_s = stillness.observe(picture(frame, None), number / FPS)
    return still_s


def encoded(encoder: VideoCodecContext, pictures: list[Image]) -> Iterator[Packet]:  # type: ignore[type-arg]
    for number, image in enumerate(pictures):
        frame = VideoFrame.from_ndarray(image, format="bgr24").reformat(format=encoder.pix_fmt)
        frame.pts, frame.pict_type = number, PictureType.NONE
        yield from encoder.encode(frame)
    yield from encoder.encode(None)


@pytest.fixture(scope="module")
def dark_room(store: Store) -> list[Image]:
    """Eight seconds of a dark room as a sensor sees it: a picture in which nothing happens, and noise."""
    room = (clip_frames(store, [10])[0].image * 0.15).astype(np.int16)
    chance = np.random.default_rng(1)
    return [np.clip(room + chance.normal(0, 4, room.shape), 0, 255).astype(np.uint8) for _ in range(8 * FPS)]


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mjpeg"])
def test_a_frozen_picture_is_seen_through_the_codec(dark_room: list[Image], codec: str) -> None:
    """A camera that shows one picture for ever is still, once its encoder has found its rate, key frames or not."""
    assert stood_still_s([dark_room[0]] * len(dark_room), codec) > 5


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mjpeg"])
def test_a_dark_gym_at_night_is_not_frozen(dark_room: list[Image], codec: str) -> None:
    """Nobody moves for hours; the noise of the sensor says that the camera lives."""
    assert stood_still_s(dark_room, codec) < 2


def turned(jpeg: bytes, orientation: int) -> bytes:
    """Write an orientation into a JPEG, as a phone does."""
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x112, 3, 1, orientation, 0, 0)
    body = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_jpeg_is_upright(orientation: int) -> None:
    """A snapshot is turned as its EXIF data say, as an image of a folder is."""
    image = np.zeros((64, 128, 3), np.uint8)
    image[:32, :32] = 255
    jpeg = turned(cv2.imencode(".jpg", image)[1].tobytes(), orientation)
    expected = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    found = Stills().decode(jpeg)
    assert expected is not None
    assert found is not None
    assert found.shape == expected.shape
    assert np.abs(image_of(found).astype(int) - expected).mean() < 3


def test_a_jpeg_cut_short_is_none() -> None:
    """Half a picture is no picture, and the next one is decoded again."""
    jpegs, jpeg = Stills(), cv2.imencode(".jpg", np.full((64, 128, 3), 90, np.uint8))[1].tobytes()
    noise = cv2.imencode(".jpg", np.random.default_rng(1).integers(0, 255, (64, 128, 3), np.uint8))[1].tobytes()
    assert jpegs.decode(noise[: len(noise) // 2]) is None
    assert jpegs.decode(b"") is None
    whole = jpegs.decode(jpeg)
    assert whole is not None
    assert abs(int(image_of(whole).mean()) - 90) <= 2
