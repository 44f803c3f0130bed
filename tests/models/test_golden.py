"""The golden picture, and how far an answer may be from the golden one."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import ModelError
from models.shelf import catalogue, golden

CARD = catalogue.network("movenet-multipose")
INFINITE = float("inf")


def test_the_picture_has_the_asked_size() -> None:
    """By default that of the card; always the same picture, of the full range and of no even colour."""
    default = golden.golden_input(CARD)
    assert default.shape == (CARD.input.height, CARD.input.width, 3)
    assert (default == golden.golden_input(CARD, CARD.input.height, CARD.input.width)).all()
    wide = golden.golden_input(CARD, 96, 160)
    assert wide.shape == (96, 160, 3)
    assert wide.dtype == np.uint8
    assert (wide.min(), wide.max()) == (0, 255)
    assert 64 < wide.mean() < 192
    assert not (wide == wide[..., ::-1]).all()


def test_deviation_is_of_the_worst_output() -> None:
    """Each output is measured by itself, in its own RMS."""
    expected = {"large": np.full(10, 100, np.float32), "small": np.full(10, 0.5, np.float32)}
    outputs = {"large": expected["large"] + 1, "small": expected["small"] * 1.5}
    assert golden.deviations(outputs, expected) == pytest.approx({"large": 0.01, "small": 0.5})
    assert golden.deviation(outputs, expected) == pytest.approx(0.5)


def test_what_says_nothing_is_not_blown_up() -> None:
    """The rounding of an output that is almost zero on the golden picture is no deviation; a real change is."""
    expected = {"fields": np.full(10, 0.002, np.float32)}
    assert golden.deviation({"fields": np.full(10, 0.005, np.float32)}, expected) < golden.LIMIT_HALF
    assert golden.deviation({"fields": np.full(10, 0.2, np.float32)}, expected) > golden.LIMIT_INT8


def test_whole_outputs_and_samples_are_compared() -> None:
    """A golden answer may be a whole output or samples of it; all of a whole one counts."""
    output = np.random.default_rng(1).normal(size=(1, 30, 30, 17)).astype(np.float32)
    assert golden.deviation({"it": output}, {"it": golden.sample(output)}) == 0
    changed = output.copy()
    changed.flat[2] += 1000
    assert golden.deviation({"it": changed}, {"it": golden.sample(output)}) == 0, "samples do not see everything"
    assert golden.deviation({"it": changed}, {"it": output}) > 1
    assert golden.deviation({"it": output[:, :15]}, {"it": output}) == INFINITE


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_what_is_not_finite_is_infinitely_far(broken: float) -> None:
    """On either side: nothing that cannot be compared is taken for equal."""
    sound, other = np.ones((1, 2), np.float32), np.array([[1, broken]], np.float32)
    assert golden.deviation({"it": other}, {"it": sound}) == INFINITE
    assert golden.deviation({"it": sound}, {"it": other}) == INFINITE


def test_limits_follow_what_the_engine_runs_in() -> None:
    """FP32 is judged strictly only where it runs in f32; INT8 is INT8 whatever most of its layers run in."""
    assert golden.limit("FP32", "F32") == golden.LIMIT_F32
    assert golden.limit("FP32", "BF16") == golden.limit("FP16", "F32") == golden.limit("FP16", "F16")
    assert golden.limit("INT8", "F32") == golden.limit("INT8", "U8") == golden.LIMIT_INT8
    assert golden.LIMIT_F32 < golden.LIMIT_HALF < golden.LIMIT_INT8 < 1, "an answer of zeros must be noticed"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("golden") / "golden.npz"
    random = np.random.default_rng(2)
    # Not compressed: every byte is read as it is.
    center, box_scale = random.normal(size=(2, 50)).astype(np.float32)
    np.savez(path, center=center, box_scale=box_scale)
    return path


@settings(max_examples=300)
@given(place=st.integers(0, 10_000), bits=st.integers(1, 255), cut=st.booleans())
def test_a_damaged_file_is_noticed(kept: Path, place: int, bits: int, cut: bool) -> None:
    """Any byte changed, or the end lost: a ModelError, or all the values as they were."""
    content = bytearray(kept.read_bytes())
    place %= len(content)
    content[place] ^= bits
    damaged = kept.with_name("damaged.npz")
    damaged.write_bytes(content[:place] if cut else content)
    found: golden.Golden = {}
    with suppress(ModelError):
        found = golden.load(damaged)
    expected = golden.load(kept)
    assert all((values == expected[role]).all() for role, values in found.items() if role in expected)
    assert len(found) <= len(expected)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    """No file is a ModelError too."""
    with pytest.raises(ModelError, match=r"nothing\.npz cannot be read"):
        golden.load(tmp_path / "nothing.npz")
