"""Joints without jitter, and without lag."""

from dataclasses import replace

import numpy as np
import pytest

from agent.config.tree import Smoothing, Tracking
from agent.poses.skeleton import Poses
from agent.tracking import track_stage
from agent.tracking.smoother import Smoother
from agent.tracking.tracker import Tracker
from tests.tracking.crowd import Walker, crowd, permuted


def named(poses: Poses, *ids: int) -> Poses:
    return replace(poses, ids=np.array(ids, np.int32))


def movement(frames: list[Poses]) -> float:
    """Median way of a joint from frame to frame, pixels."""
    joints = np.stack([poses.keypoints[0, :, :2] for poses in frames])
    return float(np.median(np.linalg.norm(np.diff(joints, axis=0), axis=2)))


@pytest.mark.parametrize("height", [60.0, 600.0])
@pytest.mark.parametrize("fps", [10.0, 30.0])
def test_standing_person_is_still(height: float, fps: float) -> None:
    """Jitter of a person who stands is cut to less than half, near and far alike."""
    smoother, random = Smoother(Smoothing()), np.random.default_rng(1)
    times = np.arange(200) / fps
    raw = [named(crowd([Walker(100, 100, height=height)], 0, random, height / 80), 1) for _ in times]
    smooth = [smoother.update(poses, at_s) for poses, at_s in zip(raw, times.tolist(), strict=True)]
    assert movement(smooth[20:]) < 0.5 * movement(raw[20:])


def test_size_does_not_matter() -> None:
    """The same movement ten times as large is smoothed to the same, ten times as large."""
    random = np.random.default_rng(2)
    small, large = Smoother(Smoothing()), Smoother(Smoothing())
    for frame in range(30):
        poses = named(crowd([Walker(10, 10, 30)], frame / 10, random, 1.0), 1)
        grown = replace(poses, keypoints=poses.keypoints * np.array((10, 10, 1), np.float32), boxes=poses.boxes * 10)
        one, other = small.update(poses, frame / 10), large.update(grown, frame / 10)
        np.testing.assert_allclose(one.keypoints[..., :2] * 10, other.keypoints[..., :2], rtol=1e-3)


@pytest.mark.parametrize("fps", [10.0, 30.0])
def test_walking_person_is_followed(fps: float) -> None:
    """Somebody who walks at one height a second is less than a tenth of a second behind."""
    smoother = Smoother(Smoothing())
    walker = Walker(100, 100, 100.0)
    for frame in range(60):
        poses = named(crowd([walker], frame / fps), 1)
        smooth = smoother.update(poses, frame / fps)
    behind_s = (poses.keypoints[..., 0] - smooth.keypoints[..., 0]) / 100.0
    assert behind_s.min() >= 0
    assert behind_s.max() < 0.1


def test_first_sight_is_unchanged() -> None:
    """Who is new is shown where found, and so is who comes back after a frame away."""
    smoother = Smoother(Smoothing())
    here, there = named(crowd([Walker(100, 100)], 0), 1), named(crowd([Walker(300, 100)], 0), 1)
    np.testing.assert_array_equal(smoother.update(here, 0.0).keypoints, here.keypoints)
    smoother.update(named(Poses.nobody()), 0.1)
    np.testing.assert_array_equal(smoother.update(there, 0.2).keypoints, there.keypoints)


def test_unseen_joint_is_not_fed() -> None:
    """An unseen joint stays 0, 0, 0, and when it comes back it starts where it is found."""
    smoother = Smoother(Smoothing())
    for frame in range(5):
        smoother.update(named(crowd([Walker(100, 100)], 0), 1), frame / 10)
    hidden = named(crowd([Walker(100, 100)], 0), 1)
    hidden.keypoints[0, 9] = 0
    assert (smoother.update(hidden, 0.5).keypoints[0, 9] == 0).all()
    moved = named(crowd([Walker(130, 100)], 0), 1)
    joints = smoother.update(moved, 0.6).keypoints[0]
    assert (joints[9] == moved.keypoints[0, 9]).all()
    assert joints[10, 0] < moved.keypoints[0, 10, 0]


def test_people_are_told_apart_by_id() -> None:
    """The filter follows the id, not the place in the list, and the uncertain (0) are not filtered at all."""
    walkers = [Walker(100, 100), Walker(400, 100), Walker(700, 100), Walker(900, 100)]
    smoother = Smoother(Smoothing())
    smoother.update(named(crowd(walkers, 0), 7, 9, 0, 0), 0.0)
    found = named(permuted(crowd(walkers, 0), [1, 3, 0, 2]), 9, 0, 7, 0)
    np.testing.assert_allclose(smoother.update(found, 0.1).keypoints, found.keypoints, atol=1e-3)


def test_scores_ids_and_the_input_stay() -> None:
    """Smoothing moves joints and boxes and nothing else, and does not write into what it was given."""
    smoother = Smoother(Smoothing())
    smoother.update(named(crowd([Walker(100, 100)], 0), 1), 0.0)
    found = named(crowd([Walker(110, 100)], 0), 1)
    before = found.keypoints.copy()
    smooth = smoother.update(found, 0.1)
    np.testing.assert_array_equal(found.keypoints, before)
    np.testing.assert_array_equal(smooth.keypoints[..., 2], before[..., 2])
    assert smooth.ids is found.ids
    assert 100 < smooth.keypoints[0, 0, 0] - found.keypoints[0, 0, 0] + 110 < 110
    assert (smooth.boxes[:, 2:] > 0).all()


def test_only_tracked_people_can_be_smoothed() -> None:
    """Poses without ids are a defect of the caller and are refused."""
    with pytest.raises(ValueError, match="no ids"):
        Smoother(Smoothing()).update(crowd([Walker(0, 0)], 0), 0.0)


def test_memory_is_the_last_frame() -> None:
    """Nobody is remembered who was not in the last frame."""
    smoother, tracker = Smoother(Smoothing()), Tracker(Tracking())
    for frame in range(50):
        smoother.update(tracker.update(crowd([Walker(frame * 500.0, 0)] * (frame % 3), 0), frame / 10), frame / 10)
    smoother.update(named(Poses.nobody()), 6.0)
    assert len(smoother._last.ids) == len(smoother._last.points) == 0


def test_stage_is_composed_as_configured() -> None:
    """Tracking off is no stage at all; smoothing off leaves joints as found; both on gives ids and smooth joints."""
    first, second = crowd([Walker(100, 100)], 0), crowd([Walker(110, 100)], 0)
    assert track_stage(Tracking(enabled=False), Smoothing()) is None
    for smoothing in (True, False):
        stage = track_stage(Tracking(), Smoothing(enabled=smoothing))
        assert stage is not None
        stage(first, 0.0)
        poses = stage(second, 0.1)
        assert poses.names() == [1]
        assert (poses.keypoints == second.keypoints).all() == (not smoothing)


def test_feet_are_smoothed_as_joints_are() -> None:
    """Feet that stand are held still, those not seen stay as they are, and a network without feet ends nothing."""
    smoother, random = Smoother(Smoothing()), np.random.default_rng(4)
    still = named(crowd([Walker(100, 100, height=100)], 0, random, 0.0), 1)
    places = np.array([[(90 + 5 * point, 148, 0.9) for point in range(6)]], np.float32)
    places[0, 5, 2] = 0
    found = []
    for frame in range(40):
        noise = np.concatenate((random.normal(0, 1.5, (1, 6, 2)), np.zeros((1, 6, 1))), axis=2).astype(np.float32)
        raw = replace(still, feet=places + noise)
        smooth = smoother.update(raw, frame / 10).feet
        assert smooth is not None
        np.testing.assert_array_equal(smooth[0, 5], (places + noise)[0, 5])
        found.append(((places + noise)[0, :5, :2], smooth[0, :5, :2]))
    jitter = [np.linalg.norm(np.diff(np.stack(side)[20:], axis=0), axis=2).mean() for side in zip(*found, strict=True)]
    assert jitter[1] < 0.5 * jitter[0]
    assert smoother.update(still, 4.1).feet is None
