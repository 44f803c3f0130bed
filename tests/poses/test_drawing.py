"""Promises of the drawing."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.poses.drawing import JOINT_DRAWN, PALETTE, draw
from agent.poses.skeleton import LIMBS, Poses
from tests.poses.people import anybody, standing

GREY = np.full((240, 320, 3), 90, np.uint8)


@given(anybody(), st.integers(8, 300), st.integers(8, 300))
def test_anybody_can_be_drawn(poses: Poses, rows: int, columns: int) -> None:
    """People at the border, outside the picture and far away neither fail nor touch the picture they are drawn on."""
    image = np.full((rows, columns, 3), 90, np.uint8)
    canvas = draw(image, poses, range(len(poses)), "12.3 FPS")
    assert (canvas.shape, canvas.dtype) == (image.shape, image.dtype)
    assert not np.shares_memory(canvas, image)
    assert (image == 90).all()


def test_nobody_is_drawn_as_nothing() -> None:
    """Without people and caption the copy is the picture."""
    assert (draw(GREY, Poses.nobody(), ()) == GREY).all()


@pytest.mark.parametrize("identity", [0, 1, 7, 8, 1000])
def test_joints_and_limbs_have_the_colour_of_the_id(identity: int) -> None:
    """Every joint and the middle of every limb is painted, in BGR, with the one colour that goes with the id."""
    poses = standing(100, 40)
    canvas = draw(GREY, poses, [identity])
    colour = PALETTE[identity % len(PALETTE)][::-1]
    joints = poses.keypoints[0, :, :2]
    middles = [(joints[first] + joints[second]) / 2 for first, second in LIMBS]
    for x, y in np.rint([*joints, *middles]).astype(int):
        near = canvas[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3).astype(int)
        assert (np.abs(near - colour).max(axis=1) < 40).any(), f"nothing of {colour} at {x}, {y}"


def test_unseen_joints_are_not_drawn() -> None:
    """A joint below the threshold, and the limbs that end in it, are left out; the id alone is written."""
    poses = standing(100, 40, score=JOINT_DRAWN - 0.01)
    changed = np.argwhere((draw(GREY, poses, [0]) != GREY).any(axis=-1))
    assert len(changed), "the id is missing"
    assert changed[:, 0].max() <= 40, "something is drawn below the id, which stands above the box"


def test_limbs_to_an_unseen_joint_are_not_drawn() -> None:
    """Where one wrist is unseen, nothing leads to it, while the rest of the person is drawn."""
    poses = standing(100, 40)
    left_wrist = 9
    poses.keypoints[0, left_wrist, 2] = 0
    canvas = draw(GREY, poses, [0])
    x, y = poses.keypoints[0, left_wrist, :2].astype(int)
    assert (canvas[y - 8 : y + 8, x - 8 : x + 8] == GREY[:16, :16]).all()
    assert (canvas[y, : x - 20] != GREY[y, : x - 20]).any()


def test_people_are_told_apart_by_id_not_by_place() -> None:
    """The same person under another id looks different, under the same id the same."""
    poses = standing(100, 40)
    assert (draw(GREY, poses, [3]) == draw(GREY, poses, [3])).all()
    assert (draw(GREY, poses, [3]) != draw(GREY, poses, [4])).any()
    # Ids that share a colour still differ in the number beside the head.
    assert (draw(GREY, poses, [3]) != draw(GREY, poses, [3 + len(PALETTE)])).any()


def test_caption_is_written_in_the_corner() -> None:
    """A caption changes the top left corner and nothing else."""
    changed = np.argwhere((draw(GREY, Poses.nobody(), (), "12.3 FPS") != GREY).any(axis=-1))
    assert changed.min() >= 0
    assert changed[:, 0].max() < 40
    assert changed[:, 1].max() < 120


def test_feet_are_drawn_where_there_are_any() -> None:
    """Toes and heels are painted and joined to their ankle; without them the picture is the one without feet."""
    poses = standing(100, 40)
    feet = np.zeros((1, 6, 3), np.float32)
    feet[0] = [(20, 225, 0.9), (220, 225, 0.9), (30, 230, 0.9), (230, 230, 0.9), (10, 220, 0.9), (210, 220, 0.9)]
    canvas, plain = (draw(GREY, each, [1]) for each in (replace(poses, feet=feet), poses))
    colour = np.array(PALETTE[1][::-1])
    for x, y in feet[0, :, :2].astype(int):
        assert (canvas[y, x] == colour).all()
        assert (plain[y, x] == 90).all()
    unseen = replace(poses, feet=feet * np.array((1, 1, 0), np.float32))
    assert (draw(GREY, unseen, [1]) == plain).all()
