"""Ids that stay with people."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.tree import Tracking
from agent.poses.skeleton import Poses
from agent.tracking.tracker import Tracker
from tests.tracking.crowd import Walker, crowd, permuted

FPS = 10.0
APART = [Walker(100, 50, 20, 5), Walker(400, 60, -15, 3), Walker(250, 300, 5, -10), Walker(600, 200, 0, 0)]


def ids_of(poses: Poses) -> list[int]:
    assert poses.ids is not None
    return poses.names()


def walk(tracker: Tracker, walkers: Sequence[Walker], frames: Sequence[int]) -> list[list[int]]:
    return [ids_of(tracker.update(crowd(walkers, frame / FPS), frame / FPS)) for frame in frames]


def test_nobody_is_nobody() -> None:
    """An empty frame stays empty and gives no id away."""
    tracker = Tracker(Tracking())
    assert ids_of(tracker.update(Poses.nobody(), 0.0)) == []
    assert walk(tracker, APART[:1], [1]) == [[1]]


@given(st.lists(st.permutations(range(len(APART))), min_size=2, max_size=20))
def test_ids_do_not_depend_on_the_order_people_are_found_in(orders: list[list[int]]) -> None:
    """However the network orders the people of each frame, each keeps the id of the first frame."""
    tracker = Tracker(Tracking())
    first: dict[int, int] = {}
    for frame, order in enumerate(orders):
        found = permuted(crowd(APART, frame / FPS), order)
        given_ids = dict(zip(order, ids_of(tracker.update(found, frame / FPS)), strict=True))
        first = first or given_ids
        assert given_ids == first


@given(st.data())
def test_poses_are_left_as_they_are(data: st.DataObject) -> None:
    """Tracking adds ids, unique, and changes, drops and invents nobody."""
    seen = data.draw(st.lists(st.lists(st.sampled_from(range(4)), unique=True), max_size=8))
    tracker = Tracker(Tracking())
    for frame, order in enumerate(seen):
        found = permuted(crowd(APART, frame / FPS), order)
        poses = tracker.update(found, frame / FPS)
        np.testing.assert_array_equal(poses.keypoints, found.keypoints)
        np.testing.assert_array_equal(poses.boxes, found.boxes)
        assert len(set(ids_of(poses))) == len(order)
        assert all(identity > 0 for identity in ids_of(poses))


@pytest.mark.parametrize("hidden", [0, 3, 6])
@pytest.mark.parametrize("across", [0.0, 4.0])
def test_crossing_people_keep_their_ids(hidden: int, across: float) -> None:
    """Two who walk through each other go on under their own ids, also when one hides the other for frames."""
    tracker = Tracker(Tracking())
    walkers = [Walker(100, 100, 60, across), Walker(300, 100 + across, -60, 0)]
    for frame in range(40):
        found = crowd(walkers, frame / FPS)
        ids = ids_of(tracker.update(found if abs(frame - 16.5) > hidden / 2 else permuted(found, [0]), frame / FPS))
        assert ids == [1, 2][: len(ids)]


@pytest.mark.parametrize("gap", [1, 5, 10, 15])
def test_occluded_person_keeps_the_id(gap: int) -> None:
    """Somebody who walks on behind an obstacle for up to a second and a half comes out with the same id."""
    tracker = Tracker(Tracking())
    walker = [Walker(100, 100, 40)]
    assert walk(tracker, walker, range(10)) == [[1]] * 10
    for frame in range(10, 10 + gap):
        assert ids_of(tracker.update(Poses.nobody(), frame / FPS)) == []
    assert walk(tracker, walker, range(10 + gap, 15 + gap)) == [[1]] * 5


def test_who_is_long_gone_comes_back_as_somebody_new() -> None:
    """After keep_s seconds an id is history and is not used again."""
    tracker = Tracker(Tracking(keep_s=1.0))
    standing = [Walker(100, 100)]
    walk(tracker, standing, [0, 1, 2])
    assert ids_of(tracker.update(Poses.nobody(), 0.3)) == []
    assert ids_of(tracker.update(crowd(standing, 0), 1.15)) == [1]
    assert ids_of(tracker.update(Poses.nobody(), 1.2)) == []
    assert ids_of(tracker.update(Poses.nobody(), 2.2)) == []
    assert ids_of(tracker.update(crowd(standing, 0), 2.3)) == [2]


@pytest.mark.parametrize("away_s", [3.0, 30.0, 599.0])
def test_who_is_remembered_for_long_is_met_where_they_were_lost(away_s: float) -> None:
    """However long somebody is remembered: back at the same place it is them, two body heights away somebody else."""
    for x, expected in ((100.0, 1), (333.0, 2)):
        tracker = Tracker(Tracking(keep_s=600.0))
        walk(tracker, [Walker(100, 100)], [0, 1, 2])
        assert ids_of(tracker.update(Poses.nobody(), 0.3)) == []
        assert ids_of(tracker.update(crowd([Walker(x, 100)], 0), 0.2 + away_s)) == [expected]


def test_somebody_elsewhere_is_somebody_else() -> None:
    """A person far from where everybody is expected gets an id of their own, the next one."""
    tracker = Tracker(Tracking())
    walk(tracker, [Walker(100, 100)], [0, 1])
    assert walk(tracker, [Walker(100, 100), Walker(400, 100)], [2]) == [[1, 2]]
    assert walk(tracker, [Walker(400, 100), Walker(700, 100)], [3]) == [[2, 3]]


@given(st.sets(st.integers(4, 40), max_size=30))
def test_dropped_frames_change_nothing(dropped: set[int]) -> None:
    """Velocities are per second: whichever frames are dropped, three in a row at most, ids stay."""
    kept = [frame for frame in range(45) if frame not in dropped or frame % 4 == 0]
    assert walk(Tracker(Tracking()), [Walker(100, 100, 60), Walker(500, 120, -40)], kept) == [[1, 2]] * len(kept)


def test_newcomer_has_no_id_until_certain() -> None:
    """With birth_frames = 3 a newcomer is 0 for two frames, must be seen in a row, and uses up no id before."""
    tracker = Tracker(Tracking(birth_frames=3))
    both = [Walker(100, 100), Walker(400, 100)]
    assert walk(tracker, both, [0, 1]) == [[0, 0]] * 2
    assert walk(tracker, both[:1], [2, 3]) == [[1]] * 2
    assert walk(tracker, both, [4, 5, 6]) == [[1, 0], [1, 0], [1, 2]]


def test_uncertain_people_are_kept_from_view() -> None:
    """Only those with an id are certain; where people are not tracked, everybody is."""
    poses = Tracker(Tracking(birth_frames=2)).update(crowd(APART, 0), 0.0)
    assert (len(poses), len(poses.certain())) == (4, 0)
    assert len(crowd(APART, 0).certain()) == 4
    assert crowd(APART, 0).names() == [0, 1, 2, 3]


def test_unseen_joints_say_nothing() -> None:
    """Somebody of whom only the upper half is found is still the same, and the legs are expected where they go."""
    tracker = Tracker(Tracking())
    walker = [Walker(100, 100, 50)]
    walk(tracker, walker, range(10))
    for frame in range(10, 20):
        found = crowd(walker, frame / FPS)
        found.keypoints[:, 11:] = 0
        assert ids_of(tracker.update(found, frame / FPS)) == [1]
    assert walk(tracker, walker, [20]) == [[1]]


@given(st.integers(0, 2**32 - 1))
def test_memory_is_bounded(seed: int) -> None:
    """People who come and go for ever leave nothing behind but the number of the last id."""
    tracker, random = Tracker(Tracking(keep_s=0.5)), np.random.default_rng(seed)
    for frame in range(60):
        walkers = [Walker(*random.uniform(0, 5000, 2)) for _ in range(random.integers(0, 6))]
        tracker.update(crowd(walkers, 0), frame / FPS)
    assert len(tracker._tracks) <= 6 * 5
    tracker.update(Poses.nobody(), 100.0)
    assert len(tracker._tracks) == 0


@pytest.mark.parametrize("step_s", [0.0, -5.0])
def test_clock_that_stands_or_runs_back_loses_nobody(step_s: float) -> None:
    """Two frames of one moment, or of a clock set back, are tracked all the same."""
    tracker = Tracker(Tracking())
    assert ids_of(tracker.update(crowd(APART, 0), 10.0)) == [1, 2, 3, 4]
    assert ids_of(tracker.update(crowd(APART, 0), 10.0 + step_s)) == [1, 2, 3, 4]
