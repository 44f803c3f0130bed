"""Cutting people out, and the way back."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.inference.crop import MARGIN, Crops

Floats = NDArray[np.float32]
SIZES = st.tuples(st.integers(16, 256), st.integers(16, 256))
SIDES = st.floats(1, 800, width=32)
PLACES = st.floats(-300, 2000, width=32)
BOXES = st.lists(st.tuples(PLACES, PLACES, SIDES, SIDES), min_size=1, max_size=6).map(lambda rows: np.array(rows, "f4"))


@given(BOXES, SIZES)
def test_the_way_back_is_the_inverse(boxes: Floats, size: tuple[int, int]) -> None:
    """A point of the frame comes back to itself, for everybody alike, to a hundredth of the person."""
    crops = Crops.around(boxes, size)
    points = np.random.default_rng(0).uniform(-0.2, 1.2, (len(boxes), 26, 2)).astype(np.float32)
    points = points * boxes[:, None, 2:] + boxes[:, None, :2]
    back = crops.to_frame(crops.to_input(points))
    assert (np.abs(back - points) <= 0.01 * boxes[:, 2:].max(axis=1)[:, None, None] + 0.01).all()


@given(BOXES, SIZES)
def test_the_widened_box_just_fits(boxes: Floats, size: tuple[int, int]) -> None:
    """The box, a quarter wider and higher, lies inside the input around its middle and fills one of its sides."""
    crops = Crops.around(boxes, size)
    low, high = boxes[:, None, :2], boxes[:, None, :2] + boxes[:, None, 2:]
    corners = crops.to_input(np.concatenate((low, high), axis=1))
    sides = (corners[:, 1] - corners[:, 0]) * MARGIN
    room = np.array(size[::-1], np.float32)
    np.testing.assert_allclose((sides / room).max(axis=1), 1, rtol=2e-2)
    np.testing.assert_allclose(corners.mean(axis=1), np.broadcast_to(room / 2, (len(boxes), 2)), atol=room.max() / 50)


@given(st.integers(24, 200), st.integers(24, 150), st.floats(20, 90), st.floats(20, 120))
def test_pixels_go_where_points_go(x: int, y: int, width: float, height: float) -> None:
    """A spot of the picture is found in the crop where the arithmetic says, to a pixel of either."""
    image = np.zeros((200, 260, 3), np.uint8)
    image[y - 2 : y + 3, x - 2 : x + 3] = 255
    box = np.array([[x - width / 3, y - height / 4, width, height]], np.float32)
    crops = Crops.around(box, (256, 192))
    out = np.zeros((256, 192, 3), np.uint8)
    crops.cut(image, 0, out)
    rows, columns = np.nonzero(out[..., 0] > 127)
    expected = crops.to_input(np.array([[[x, y]]], np.float32))[0, 0]
    found = np.array((columns.mean(), rows.mean()))
    assert (np.abs(found - expected) <= 1 + crops.scale[0]).all()


def test_nobody_is_no_crop() -> None:
    """Without boxes there is nothing to cut."""
    assert len(Crops.around(np.zeros((0, 4), np.float32), (256, 192))) == 0
