"""Promises of the SimCC decoder: drawn skeletons come back, each joint in its place."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.inference.letterbox import Letterbox
from agent.poses.simcc import FEET_FROM, HALPE, PeopleDecoder, SimccDecoder, joints_of, people_of, scores_of
from agent.poses.skeleton import FEET, Poses

Floats = NDArray[np.float32]
HEIGHT, WIDTH, BINS = 256, 192, 2


def drawn(joints: Floats) -> tuple[Floats, Floats]:
    """Outputs for (J, 3) joints: a Gaussian over the bins of each axis, as high as the joint's score."""
    lines = []
    for axis, side in enumerate((WIDTH, HEIGHT)):
        bins = np.arange(side * BINS)
        away = (bins - joints[:, axis, None] * BINS) / 6
        lines.append((np.exp(-np.square(away)) * joints[:, 2, None]).astype(np.float32))
    return lines[0], lines[1]


@st.composite
def skeletons(draw: st.DrawFn) -> Floats:
    """(26, 3) joints inside the input, on whole bins, and scores 0.05..1.2."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    places = random.integers(0, (WIDTH * BINS, HEIGHT * BINS), (HALPE, 2)) / BINS
    return np.concatenate((places, random.uniform(0.05, 1.2, (HALPE, 1))), axis=1).astype(np.float32)


@given(skeletons())
def test_every_joint_is_where_it_was_drawn(joints: Floats) -> None:
    """All 26 joints come back exactly, the last one too, with the lower of the two maxima for a score."""
    x, y = drawn(joints)
    y *= np.float32(0.9)
    out = np.empty((HALPE, 3), np.float32)
    joints_of(x, y, BINS, out)
    np.testing.assert_array_equal(out[:, :2], joints[:, :2])
    np.testing.assert_allclose(out[:, 2], joints[:, 2] * 0.9, rtol=1e-5)


@given(skeletons())
def test_feet_are_told_beside_coco(joints: Floats) -> None:
    """COCO's seventeen are the first ones; the feet are the last six, left before right; scores end at 1."""
    letterbox = Letterbox.fit((10, 20, WIDTH * 2, HEIGHT * 2), (HEIGHT, WIDTH))
    poses = SimccDecoder(bins=BINS, person_score_min=0).decode(tuple(each[None] for each in drawn(joints)), letterbox)
    assert poses.feet is not None
    assert poses.feet.shape == (1, len(FEET), 3)
    np.testing.assert_allclose(letterbox.to_input(poses.keypoints[0, :, :2]), joints[:17, :2], atol=0.01)
    np.testing.assert_allclose(letterbox.to_input(poses.feet[0, :, :2]), joints[FEET_FROM:, :2], atol=0.01)
    np.testing.assert_allclose(poses.feet[0, :, 2], joints[FEET_FROM:, 2].clip(0, 1), rtol=1e-5)
    assert float(poses.keypoints[..., 2].max()) <= 1


def test_seventeen_joints_have_no_feet() -> None:
    """A network of COCO's joints alone says nothing of feet."""
    assert people_of(np.full((2, 17, 3), 0.5, np.float32), 0.2, 9).feet is None


def person(*scores: float) -> Floats:
    """(1, 26, 3): joints along a line, the first ones with these scores, the others unseen."""
    joints = np.zeros((1, HALPE, 3), np.float32)
    joints[0, :, :2] = np.arange(HALPE)[:, None] * 10
    joints[0, : len(scores), 2] = scores
    return joints


@pytest.mark.parametrize(
    ("joints", "score"),
    [
        (person(*[0.8] * 17), 0.8),
        (person(*[0.8] * 6), 0.8),  # half of somebody at the border
        (person(0.8, 0.8), 1.6 / 17),  # two lucky joints make nobody
        (person(*[0.2] * 17), 0.2),
        (person(*[1.3] * 17), 1.0),
    ],
)
def test_score_of_a_person(joints: Floats, score: float) -> None:
    """A person is as certain as the joints that are seen, where there are enough of them."""
    np.testing.assert_allclose(scores_of(joints), [score], rtol=1e-5)


def test_best_first_and_bounded() -> None:
    """People come best first, none below the threshold, not more than asked for, boxes around what is seen."""
    joints = np.concatenate([person(*[score] * 17) for score in (0.4, 0.9, 0.1, 0.6)])
    poses = PeopleDecoder(person_score_min=0.2, persons_max=2).decode((joints,), Letterbox.fit((0, 0, 9, 9), (9, 9)))
    np.testing.assert_allclose(poses.scores, [0.9, 0.6], rtol=1e-6)
    np.testing.assert_array_equal(poses.boxes, [[0, 0, 160, 160]] * 2)
    assert len(PeopleDecoder(person_score_min=0.95, persons_max=2).decode((joints,), poses_of_nobody())) == 0


def test_the_last_pixel_is_the_border() -> None:
    """A joint in the right half of the last pixel is beyond what can be drawn, and is moved like any other."""
    joints = np.full((26, 3), 0.5, np.float32)
    joints[:, :2] = 9.5
    inside = people_of(joints[None], 0, 1).within(10, 10)
    assert (inside.keypoints[..., :2] == 9).all()


def poses_of_nobody() -> Letterbox:
    return Letterbox.fit((0, 0, 1, 1), (1, 1))


@given(skeletons(), st.integers(1, 400), st.integers(1, 400), st.integers(-300, 300))
def test_everything_is_inside_the_picture(joints: Floats, width: int, height: int, shift: int) -> None:
    """Joints, feet and boxes end at the border of the picture; what is inside stays where it is."""
    joints[:, :2] += shift
    poses = people_of(joints[None], 0, 1)
    inside = poses.within(width, height)
    assert inside.feet is not None
    assert poses.feet is not None
    for before, after in ((poses.keypoints, inside.keypoints), (poses.feet, inside.feet)):
        assert ((after[..., :2] >= 0) & (after[..., :2] <= (width - 1, height - 1))).all()
        was_inside = ((before[..., :2] >= 0) & (before[..., :2] <= (width - 1, height - 1))).all(axis=2)
        np.testing.assert_array_equal(after[was_inside], before[was_inside])
        np.testing.assert_array_equal(after[..., 2], before[..., 2])
    x, y, box_width, box_height = inside.boxes[0].tolist()
    assert min(x, y, box_width, box_height) >= 0
    assert x + box_width <= width + 1e-3
    assert y + box_height <= height + 1e-3
    assert len(Poses.nobody().within(width, height)) == 0
