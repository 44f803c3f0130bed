"""Zones: which side of a line a point is on, who crosses, how long somebody stays, whatever frames are dropped."""

from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from agent.poses.skeleton import Poses
from agent.tracking.zones import CONFIRM_S, LOST_S, Crossing, ZoneWatch, inside, stands
from agent.wire.zones import Zone
from tests.contract.strategies import zones

WIDTH, HEIGHT = 640, 480
RIGHT = {"right": Zone(polygon=((0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0)), dwell_s=2.0)}
POINTS = st.tuples(st.floats(0, 1), st.floats(0, 1))


def standing(*places: tuple[int, float], ids: bool = True) -> Poses:
    """People by id, with their feet at a fraction of the picture's width."""
    joints = np.zeros((len(places), 17, 3), np.float32)
    for number, (_, x) in enumerate(places):
        joints[number, :, 0] = x * WIDTH
        joints[number, :, 1] = np.linspace(100, 300, 17)
        joints[number, :, 2] = 0.9
    boxes = np.array([[x * WIDTH - 20, 100, 40, 200] for _, x in places], np.float32).reshape(-1, 4)
    numbers = np.array([number for number, _ in places], np.int32) if ids else None
    return Poses(joints, boxes, np.full(len(places), 0.9, np.float32), numbers)


def walk(watch: ZoneWatch, steps: list[tuple[float, Poses]]) -> list[Crossing]:
    return [each for at_s, poses in steps for each in watch.look(poses, WIDTH, HEIGHT, at_s).crossings]


@given(zones(), POINTS)
def test_inside_agrees_with_the_sum_of_angles(zone: Zone, point: tuple[float, float]) -> None:
    """The even-odd rule says the same as the winding number, computed another way, for an outline that is simple."""
    polygon, place = np.array(zone.polygon), np.array(point)
    sides = zip(polygon, np.roll(polygon, -1, axis=0), strict=True)
    # On the outline either answer is right.
    assume(min(_distance(place, a, b) for a, b in sides) > 1e-6)
    angles = np.arctan2(*(polygon - place).T[::-1])
    turns = (np.diff(np.append(angles, angles[0])) + np.pi) % (2 * np.pi) - np.pi
    assert inside(place[None], polygon)[0] == (abs(turns.sum()) > np.pi)


def _distance(point: Any, a: Any, b: Any) -> float:
    along = np.clip(np.dot(point - a, b - a) / max(float(np.dot(b - a, b - a)), 1e-12), 0, 1)
    return float(np.hypot(*(point - a - along * (b - a))))


@given(st.lists(POINTS, min_size=1, max_size=20), st.floats(0.1, 0.9), st.floats(0.1, 0.9))
def test_neighbours_share_no_point(points: list[tuple[float, float]], x: float, y: float) -> None:
    """Four zones that meet in a point cover the picture once: nobody is counted twice, or in none of them."""
    spans = [(0.0, x), (x, 1.0)], [(0.0, y), (y, 1.0)]
    here = np.clip(np.array(points), 0, 1 - 1e-9)
    parts = [np.array([(a, c), (b, c), (b, d), (a, d)]) for a, b in spans[0] for c, d in spans[1]]
    assert (np.sum([inside(here, part) for part in parts], axis=0) == 1).all()


@given(
    st.lists(st.integers(1, 9), min_size=40, max_size=120),
    st.floats(1.0, 4.0),
    st.floats(5.0, 8.0),
)
def test_crossings_and_stay_do_not_depend_on_the_frames(gaps: list[int], enters_s: float, leaves_s: float) -> None:
    """Whatever frames are dropped: one enter, one leave, both in the first frame on the other side, times to match."""
    times = [tick / 10 for tick in accumulate([0, *gaps, *[5] * 20]) if tick < 120] + [12.0, 12.3, 12.6]
    assert all(later - sooner <= LOST_S for sooner, later in pairwise(times))
    within = [enters_s <= at_s < leaves_s for at_s in times]
    places = [standing((7, 0.75 if yes else 0.25)) for yes in within]
    told = walk(ZoneWatch(RIGHT), list(zip(times, places, strict=True)))
    inside_s = [at_s for at_s, yes in zip(times, within, strict=True) if yes]
    outside_s = next(at_s for at_s in times if at_s >= leaves_s)
    assume(inside_s[-1] - inside_s[0] >= CONFIRM_S)
    assert [each.kind for each in told if each.kind != "dwell"] == ["entered", "left"]
    entered, left = (each for each in told if each.kind != "dwell")
    assert (entered.at_s, left.at_s) == (inside_s[0], outside_s)
    assert left.seconds == pytest.approx(outside_s - inside_s[0])
    dwelt = [each for each in told if each.kind == "dwell"]
    assert len(dwelt) <= 1
    if inside_s[-1] - inside_s[0] >= 2.0 + CONFIRM_S:
        assert [each.at_s for each in dwelt] == [pytest.approx(inside_s[0] + 2.0)]


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=80))
def test_events_and_count_never_contradict(steps: list[tuple[bool, bool]]) -> None:
    """However two people wander, vanish and come back: enters less leaves is who is in it, and they alternate."""
    watch, balance = ZoneWatch(RIGHT), {1: 0, 2: 0}
    for tick, (first, second) in enumerate(steps):
        there = [(1, 0.75 if first else 0.25)] + ([(2, 0.6)] if second else [])
        for each in watch.look(standing(*there), WIDTH, HEIGHT, tick * 0.3).crossings:
            balance[each.person] += {"entered": 1, "left": -1, "dwell": 0}[each.kind]
        assert set(balance.values()) <= {0, 1}
        assert (
            watch.occupancies()["right"].ids == tuple(p for p, inside_now in balance.items() if inside_now) or not tick
        )
        assert watch.occupancies()["right"].persons == sum(balance.values())


def test_swaying_on_the_line_is_no_crossing() -> None:
    """Who comes back within CONFIRM_S was never away."""
    steps = [(t / 10, standing((1, 0.75 if t < 5 or t % 2 else 0.25))) for t in range(40)]
    assert [each.kind for each in walk(ZoneWatch(RIGHT), steps)] == ["entered", "dwell"]


def test_who_is_lost_has_left_at_the_last_sight() -> None:
    """A person who is found no more leaves once, at the time they were last seen."""
    steps = [(t / 10, standing((1, 0.75)) if t <= 10 else standing()) for t in range(40)]
    left = walk(ZoneWatch(RIGHT), steps)[-1]
    assert (left.kind, left.at_s, left.seconds) == ("left", 1.0, 1.0)


def test_untracked_people_are_counted_and_told_of_no_crossing() -> None:
    """Without ids there is no telling who crosses, but how many are there is known."""
    watch = ZoneWatch(RIGHT)
    seen = watch.look(standing((1, 0.75), (2, 0.8), (3, 0.1), ids=False), WIDTH, HEIGHT, 0.0)
    assert seen.crossings == ()
    assert (seen.changed["right"].persons, seen.changed["right"].ids) == (2, ())


def test_nobody_knows_who_is_there_while_nobody_looks() -> None:
    """A window without a frame tells no number, neither in the figures nor of now."""
    watch = ZoneWatch(RIGHT)
    walk(watch, [(0.0, standing((1, 0.75))), (0.3, standing((1, 0.75)))])
    assert watch.take()["right"].persons_max == 1
    assert watch.take()["right"].persons_mean is None
    assert watch.occupancies()["right"].persons is None


def test_a_mask_hides_who_stands_in_it_and_nobody_else() -> None:
    """People with most of their joints under a mask are gone before anybody follows them; others stay."""
    watch = ZoneWatch({"mirror": RIGHT["right"].model_copy(update={"mask": True})})
    assert watch.masked(standing((1, 0.75), (2, 0.25)), WIDTH, HEIGHT).names() == [2]
    assert watch.occupancies() == {}
    watch.watch({})
    assert len(watch.masked(standing((1, 0.75)), WIDTH, HEIGHT)) == 1


def test_zones_that_stay_the_same_go_on_when_others_change() -> None:
    """Sending the zones again makes nobody enter twice."""
    watch = ZoneWatch(RIGHT)
    walk(watch, [(t / 10, standing((1, 0.75))) for t in range(5)])
    watch.watch({**RIGHT, "all": Zone(polygon=((0, 0), (1, 0), (1, 1), (0, 1)))})
    told = walk(watch, [(0.5 + t / 10, standing((1, 0.75))) for t in range(5)])
    assert [(each.kind, each.zone) for each in told] == [("entered", "all")]


def test_hidden_feet_are_below_the_hips() -> None:
    """Without ankles the ground is estimated from knees or hips and the torso; without a torso it is the box's edge."""
    poses = standing((1, 0.5))
    joints = poses.keypoints[0]
    joints[5:7, 1], joints[11:13, 1], joints[13:15, 1], joints[15:17, 1] = 100, 160, 210, 260
    assert stands(poses)[0] == pytest.approx((320, 260))
    joints[15:17, 2] = 0
    assert stands(poses)[0] == pytest.approx((320, 210 + 0.85 * 60))
    joints[13:15, 2] = 0
    assert stands(poses)[0] == pytest.approx((320, 160 + 1.7 * 60))
    joints[5:7, 2] = 0
    assert stands(poses)[0] == pytest.approx((320, 300))


@pytest.mark.parametrize(
    ("polygon", "reason"),
    [
        ([[0, 0], [1, 1]], "at least 3"),
        ([[0, 0], [1, 1], [1, 0], [0, 1]], "crosses itself"),
        ([[0, 0], [0.5, 0.5], [1, 1]], "no area"),
        ([[0, 0], [100, 0], [100, 100]], "less than or equal to 1"),
        ([[0, 0], [1, float("nan")], [1, 1]], "finite|less than"),
    ],
)
def test_a_polygon_that_is_none_is_refused(polygon: Any, reason: str) -> None:
    """Too few corners, an outline that crosses itself, a line, pixels in place of fractions, no number."""
    with pytest.raises(ValidationError, match=reason):
        Zone(polygon=polygon)
