"""Promises of the input's size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capture.frame import Frame, Region
from agent.config.tree import InputSize
from agent.errors import ConfigError
from agent.inference.letterbox import Letterbox
from agent.inference.spec import input_size
from tests.footage import as_frame
from tests.inference.engines import CARD

FIXED = CARD.model_copy(update={"name": "fixed", "input": CARD.input.model_copy(update={"resizable": False})})
sides = st.integers(16, 4000)
multiples = st.integers(1, 60).map(lambda n: n * CARD.input.stride)


def frame(width: int, height: int, region: Region | None = None) -> Frame:
    # One pixel, repeated: a picture of this size that takes no memory.
    image = np.broadcast_to(np.zeros(3, np.uint8), (height, width, 3))
    plain = as_frame(image)
    return Frame(image, 0, plain.captured_at, 0.0, 0.0, region)


@given(multiples, sides, sides)
def test_long_side_is_kept_and_nothing_is_wasted(long_side: int, width: int, height: int) -> None:
    """The long side of picture and input agree; the short one holds the whole picture, with less than a stride over."""
    size = input_size(InputSize(long_side=long_side), CARD, frame(width, height))
    assert all(side % CARD.input.stride == 0 and side > 0 for side in size)
    assert max(size) == long_side
    assert (size[1] >= size[0]) if width >= height else (size[0] >= size[1])
    exact = long_side * min(width, height) / max(width, height)
    assert exact - 0.001 <= min(size) < max(exact, 1) + CARD.input.stride
    letterbox = Letterbox.fit((0, 0, width, height), size)
    assert max(letterbox.width, letterbox.height) == long_side


@given(multiples, st.integers(16, 500), st.integers(16, 500))
def test_region_of_interest_gives_the_shape(long_side: int, width: int, height: int) -> None:
    """With a region of interest, the input has the shape of the region, whatever the frame's."""
    wanted = InputSize(long_side=long_side)
    inside = frame(1000, 600, Region(7, 9, width, height))
    assert input_size(wanted, CARD, inside) == input_size(wanted, CARD, frame(width, height))


def test_without_a_frame_the_input_is_square() -> None:
    """A camera that is down at the start does not hold up the engine: it gets a square input."""
    assert input_size(InputSize(long_side=384), CARD, None) == (384, 384)


def test_the_card_decides_where_nothing_is_asked() -> None:
    """Without a wish the card's size is taken, with both sides given those are; the picture's shape is not asked."""
    assert input_size(InputSize(), CARD, frame(640, 480)) == (CARD.input.height, CARD.input.width)
    assert input_size(InputSize(height=256, width=448), CARD, frame(480, 640)) == (256, 448)
    assert input_size(InputSize(), FIXED, frame(640, 480)) == (CARD.input.height, CARD.input.width)
    assert input_size(InputSize(height=256, width=256), FIXED, None) == (256, 256)


@pytest.mark.parametrize(
    ("wanted", "message", "hint"),
    [
        (InputSize(height=250, width=256), "model.input: height 250 is not a multiple of 32", "the nearest is 256"),
        (InputSize(height=256, width=500), "model.input: width 500 is not a multiple of 32", "the nearest is 512"),
        (InputSize(long_side=400), "400 is not a multiple of 32, the stride of movenet-multipose", "is 384"),
    ],
)
def test_a_size_off_the_stride_is_refused(wanted: InputSize, message: str, hint: str) -> None:
    """A side that is no multiple of the stride is named, with the nearest that is one."""
    with pytest.raises(ConfigError, match=message) as caught:
        input_size(wanted, CARD, frame(640, 480))
    assert hint in caught.value.hint


@pytest.mark.parametrize("wanted", [InputSize(long_side=384), InputSize(height=256, width=320)])
def test_a_network_of_one_size_takes_no_other(wanted: InputSize) -> None:
    """A network that cannot be resized says which size it takes."""
    with pytest.raises(ConfigError, match=r"model\.input: fixed takes 256x256 and nothing else"):
        input_size(wanted, FIXED, frame(640, 480))
