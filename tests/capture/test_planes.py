"""Promises of pictures that stay planes: what a network sees of them is what it sees of their BGR."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from agent.capture.frame import Frame, Image, Picture
from agent.capture.picture import Framer, Stillness
from agent.capture.pixels import bgr, picture
from agent.capture.planes import Planes
from agent.capture.video import open_file
from agent.config.tree import Camera, Roi
from agent.inference.letterbox import prepare
from models.shelf.store import Store
from tests.cameras.clips import make
from tests.capture.pictures import number_of
from tests.footage import as_frame, clip_frames

INPUT = (96, 128, 3)
"""Of which pictures of 4:3 fill all, others leave a part grey."""
ALIKE = 2.0
"""Grey levels in the mean: colour is interpolated once, not repeated and then interpolated."""
FORMATS = ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12")


@pytest.fixture(scope="module")
def room(store: Store) -> Image:
    """A picture with people, to which colour is added: two slopes of it, from end to end."""
    image = clip_frames(store, [10])[0].image.astype(np.float32)
    rows, columns = image.shape[:2]
    image[..., 0] += np.linspace(-90, 90, columns, dtype=np.float32)
    image[..., 2] += np.linspace(-90, 90, rows, dtype=np.float32)[:, None]
    return np.clip(image, 0, 255).astype(np.uint8)


def decoded(image: Image, name: str) -> VideoFrame:
    """What a decoder of this format would give of a picture."""
    full = ColorRange.JPEG if name.startswith("yuvj") else ColorRange.MPEG
    frame = VideoFrame.from_ndarray(image, format="bgr24")
    return frame.reformat(format=name, dst_colorspace=Colorspace.ITU601, dst_color_range=full)


def seen(frame: Frame) -> Image:
    """The input of a network."""
    out = np.zeros(INPUT, np.uint8)
    prepare(frame, out)
    return out


def apart(left: NDArray[Any], right: NDArray[Any]) -> float:
    """Grey levels in the mean."""
    return float(np.abs(left.astype(int) - right).mean())


@pytest.mark.parametrize("cut", [slice(None), slice(0, -1)], ids=["even", "odd"])
@pytest.mark.parametrize("name", FORMATS)
def test_colours_are_those_of_the_whole_picture(room: Image, name: str, cut: slice) -> None:
    """Every layout and range that stays planes gives the colours of its conversion, and those of the original."""
    image = np.ascontiguousarray(room[cut, cut])
    frame = decoded(image, name)
    found = picture(frame, None)
    assert isinstance(found, Planes)
    assert found.shape == image.shape
    small = seen(as_frame(found))
    assert apart(small, seen(as_frame(bgr(frame, None)))) < ALIKE
    assert apart(small, seen(as_frame(image))) < ALIKE
    assert apart(found.image(), image) < 2 * ALIKE


def test_full_range_is_also_what_only_says_so(room: Image) -> None:
    """A stream of the ordinary layout that declares full range is not washed out."""
    frame = decoded(room, "yuvj420p").reformat(format="yuv420p", src_color_range=2, dst_color_range=2)
    frame.color_range = ColorRange.JPEG
    found = picture(frame, None)
    assert isinstance(found, Planes)
    assert found.full_range
    assert apart(seen(as_frame(found)), seen(as_frame(room))) < ALIKE


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize(
    "roi", [None, Roi(x=0.25, y=0.125, width=0.5, height=0.5), Roi(x=0.1, y=0.3, width=0.33, height=0.41)]
)
@pytest.mark.parametrize("name", ["yuv420p", "nv12", "yuvj422p"])
def test_rotation_and_region_are_of_the_planes_too(room: Image, name: str, roi: Roi | None, rotate: int) -> None:
    """A camera that hangs upside down or looks at a part shows a network the same, planes or not."""
    camera = Camera.model_validate({"rotate": rotate, "roi": roi} if roi else {"rotate": rotate})

    def framed(given: Picture) -> Frame:
        return Framer(camera).frame(given, captured_s=0.0, started_s=0.0)

    frame = decoded(room, name)
    planes, pixels = framed(picture(frame, None)), framed(bgr(frame, None))
    assert isinstance(planes.picture, Planes)
    assert planes.area == pixels.area
    assert apart(seen(planes), seen(pixels)) < ALIKE
    assert (planes.image == pixels.image).all()


def _bt709(frame: VideoFrame) -> Picture:
    frame.colorspace = Colorspace.ITU709
    return picture(frame.reformat(format="yuv422p", dst_colorspace=Colorspace.ITU709), None)


@pytest.mark.parametrize(
    "special",
    [
        lambda frame: picture(frame, Fraction(2)),
        lambda frame: picture(frame.reformat(format="yuv420p10le"), None),
        lambda frame: picture(frame.reformat(format="gray"), None),
        _bt709,
    ],
    ids=["aspect", "10 bit", "grey", "BT.709 by FFmpeg"],
)
def test_what_is_special_is_pixels_at_once(room: Image, special: Callable[[VideoFrame], Picture]) -> None:
    """Pixels that are not square, more bits, no colour, colours of which FFmpeg knows more: as before."""
    assert isinstance(special(decoded(room, "yuv420p")), np.ndarray)


@pytest.mark.parametrize("name", ["yuv420p", "yuvj422p", "nv12"])
def test_stillness_reads_the_same_green(room: Image, name: str) -> None:
    """What tells a frozen picture from a living one sees of planes what it sees of pixels."""
    frame = decoded(room, name)
    found = picture(frame, None)
    assert isinstance(found, Planes)
    assert apart(found.green(8), bgr(frame, None)[::8, ::8, 1]) < ALIKE
    stillness = Stillness()
    assert [stillness.observe(found, now_s) for now_s in (3.0, 4.0, 9.0)] == [0.0, 1.0, 6.0]
    assert stillness.observe(picture(decoded(room[::-1].copy(), name), None), 10.0) == 0.0


@pytest.mark.parametrize("codec", ["libx264", "mpeg4", "mjpeg"])
def test_a_picture_stays_while_the_decoder_goes_on(tmp_path: Path, codec: str) -> None:
    """Nobody writes into the planes of a frame that somebody holds, and they outlive the file."""
    reader = open_file(make(tmp_path / "a.avi", 40, "-c:v", codec, "-q:v", "2", "-pix_fmt", "yuvj420p"))
    held: list[Planes] = []
    while reader.grab():
        found = reader.retrieve()
        assert isinstance(found, Planes)
        held.append(found)
    reader.close()
    assert [number_of(found.image()) for found in held] == list(range(40))


def test_pixels_are_made_once(room: Image) -> None:
    """Whoever asks for the pixels of a frame gets the same array, whatever was done to it."""
    frame = as_frame(picture(decoded(room, "yuv420p"), None))
    frame.image[:] = 77
    assert (frame.image == 77).all()
    assert frame.image.flags.c_contiguous
