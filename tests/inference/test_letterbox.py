"""Promises of the letterbox."""

from datetime import UTC, datetime

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.capture.frame import Frame, Region
from agent.inference.letterbox import PADDING, Letterbox, prepare

sides = st.integers(8, 900)
targets = st.integers(1, 20).map(lambda n: 32 * n)


@st.composite
def fits(draw: st.DrawFn) -> tuple[Letterbox, tuple[int, int], tuple[int, int, int, int]]:
    """A letterbox of a random frame, region and input size."""
    rows, columns = draw(sides), draw(sides)
    x, y = draw(st.integers(0, columns - 4)), draw(st.integers(0, rows - 4))
    region = (x, y, draw(st.integers(4, columns - x)), draw(st.integers(4, rows - y)))
    target = (draw(targets), draw(targets))
    return Letterbox.fit(region, target, centred=draw(st.booleans())), target, region


@given(fits(), st.floats(0, 1), st.floats(0, 1))
def test_the_way_back_is_exact_to_half_a_pixel(
    fit: tuple[Letterbox, tuple[int, int], tuple[int, int, int, int]], u: float, v: float
) -> None:
    """A point of the frame comes back to where it was, and lands inside the resized picture on its way."""
    letterbox, target, (x, y, width, height) = fit
    point = np.array((x + u * (width - 1), y + v * (height - 1)), np.float32)

    inside = letterbox.to_input(point)

    assert -0.51 <= inside[0] - letterbox.left <= letterbox.width - 0.49
    assert -0.51 <= inside[1] - letterbox.top <= letterbox.height - 0.49
    assert letterbox.height <= target[0]
    assert letterbox.width <= target[1]
    assert np.abs(letterbox.to_frame(inside) - point).max() <= 0.5


@given(fits())
def test_the_aspect_ratio_is_kept(fit: tuple[Letterbox, tuple[int, int], tuple[int, int, int, int]]) -> None:
    """The picture is bent by less than the one pixel that rounding its size takes, and fills the input one way."""
    letterbox, target, (_, _, width, height) = fit
    ratio = min(target[0] / height, target[1] / width)
    assert abs(letterbox.width - width * ratio) <= 1
    assert abs(letterbox.height - height * ratio) <= 1
    assert letterbox.height == target[0] or letterbox.width == target[1]


@given(st.integers(40, 300), st.integers(40, 300), st.integers(0, 2**31), st.booleans())
def test_a_marked_pixel_is_found_where_the_mapping_says(rows: int, columns: int, seed: int, centred: bool) -> None:
    """The mapping describes what really was resized: a bright blob's centre lies where to_input puts it."""
    random = np.random.default_rng(seed)
    y, x = int(random.integers(8, rows - 8)), int(random.integers(8, columns - 8))
    image = np.zeros((rows, columns, 3), np.uint8)
    image[y - 4 : y + 5, x - 4 : x + 5] = 255
    out = np.full((256, 320, 3), 7, np.uint8)

    letterbox = prepare(Frame(image, 0, datetime.now(UTC), 0.0, 0.0), out, centred=centred)

    right, bottom = letterbox.left + letterbox.width, letterbox.top + letterbox.height
    padding = np.ones(out.shape[:2], np.bool_)
    padding[letterbox.top : bottom, letterbox.left : right] = False
    picture = np.where(padding, 0, out[..., 0].astype(np.float64))
    ys, xs = np.nonzero(picture)
    weights = picture[ys, xs]
    found = np.array((np.average(xs, weights=weights), np.average(ys, weights=weights)))
    expected = letterbox.to_input(np.array((x, y), np.float32))
    assert np.abs(found - expected).max() <= 0.5
    assert (out[padding] == PADDING).all()
    assert abs((256 - bottom) - letterbox.top) <= 1 if centred else letterbox.top == 0
    assert abs((320 - right) - letterbox.left) <= 1 if centred else letterbox.left == 0


def test_only_the_region_of_interest_is_looked_at() -> None:
    """What lies outside the region never reaches the input, and points come back in pixels of the whole frame."""
    image = np.full((200, 400, 3), 255, np.uint8)
    image[50:150, 100:300] = 10
    out = np.zeros((64, 128, 3), np.uint8)
    letterbox = prepare(Frame(image, 0, datetime.now(UTC), 0.0, 0.0, Region(100, 50, 200, 100)), out)
    assert (out == 10).all()
    corner = letterbox.to_frame(np.array((-0.5, -0.5), np.float32))
    assert corner.tolist() == [99.5, 49.5]
