"""How two networks' people agree, and the judgement on it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.poses.agreement import ALIKE, PEOPLE_MIN, Outcome, Tally, best_likeness, verdict
from agent.poses.skeleton import Poses
from agent.wire.commands import Agreement
from tests.poses.people import anybody


def standing(*people: tuple[float, float]) -> Poses:
    """People 40 wide and 100 tall, given as (left, score), all joints seen."""
    joints = [np.stack((x + np.linspace(0, 40, 17), np.linspace(0, 100, 17), np.ones(17)), axis=1) for x, _ in people]
    boxes = [(x, 0, 40, 100) for x, _ in people]
    scores = [score for _, score in people]
    return Poses(np.array(joints, np.float32), np.array(boxes, np.float32), np.array(scores, np.float32))


def found(people: int, missed: int, mean_oks: float | None = 0.95) -> Agreement:
    """An agreement of ten frames."""
    return Agreement(frames=10, people=people, missed=missed, invented=0, mean_oks=mean_oks)


def test_only_certain_people_are_asked_for_and_possible_ones_answer() -> None:
    """Of the reference people from 0.3 count, of the others people from 0.2; the most alike is taken."""
    reference = standing((0, 0.9), (200, 0.3), (400, 0.29))
    others = standing((2, 0.2), (20, 0.9), (200, 0.19))
    near, alone = best_likeness(reference, others).tolist()
    assert near == pytest.approx(best_likeness(reference, standing((2, 0.5)))[0])
    assert 0.8 < near < 1
    assert alone < 0.01
    assert best_likeness(reference, Poses.nobody()).tolist() == [0, 0]
    assert best_likeness(Poses.nobody(), others).shape == (0,)


def test_frames_add_up() -> None:
    """Missed are the reference's people whom the other lacks, invented the reverse; the mean is of those matched."""
    tally = Tally()
    tally.add(standing((0, 0.9), (200, 0.9)), standing((2, 0.25), (500, 0.9)))
    tally.add(standing((0, 0.9)), standing((0, 0.9)))
    tally.add(Poses.nobody(), Poses.nobody())
    agreement = tally.agreement()
    assert (agreement.frames, agreement.people, agreement.missed, agreement.invented) == (3, 3, 1, 1)
    near = best_likeness(standing((0, 0.9)), standing((2, 0.25)))[0]
    assert agreement.mean_oks == pytest.approx((near + 1) / 2)
    assert tally.others == 2


def test_nobody_has_no_mean() -> None:
    """An empty scene is no person, and no likeness either."""
    tally = Tally()
    tally.add(Poses.nobody(), standing((0, 0.25)))
    assert tally.agreement() == Agreement(frames=1, people=0, missed=0, invented=0, mean_oks=None)


@given(st.lists(st.tuples(anybody(), anybody()), max_size=4))
def test_a_tally_is_the_sum_of_its_frames(pairs: list[tuple[Poses, Poses]]) -> None:
    """Whoever is found, the counts are those of the frames, and a mean is that of people who are alike."""
    tally, alone = Tally(), []
    for reference, others in pairs:
        tally.add(reference, others)
        single = Tally()
        single.add(reference, others)
        alone.append(single.agreement())
    agreement = tally.agreement()
    assert agreement.frames == len(pairs)
    assert agreement.people == sum(one.people for one in alone)
    assert agreement.missed == sum(one.missed for one in alone) <= agreement.people
    assert agreement.invented == sum(one.invented for one in alone) <= tally.others
    assert (agreement.mean_oks is None) == (agreement.missed == agreement.people)
    if agreement.mean_oks is not None:
        assert ALIKE <= agreement.mean_oks <= 1 + 1e-6


@pytest.mark.parametrize(
    ("agreement", "outcome", "telling"),
    [
        (found(100, 3), Outcome.PASSED, ""),
        (found(100, 4), Outcome.FAILED, "4 of 100 people (4.0%)"),
        (found(PEOPLE_MIN, 1), Outcome.PASSED, ""),
        (found(PEOPLE_MIN, 2), Outcome.FAILED, "2 of 20"),
        (found(34, 1), Outcome.PASSED, ""),
        (found(34, 2), Outcome.FAILED, "2 of 34"),
        (found(67, 2), Outcome.PASSED, ""),
        (found(100, 0, 0.85), Outcome.PASSED, ""),
        (found(100, 0, 0.849), Outcome.FAILED, "mean OKS 0.849"),
        (found(100, 100, None), Outcome.FAILED, "100 of 100"),
        (found(PEOPLE_MIN - 1, 0), Outcome.UNJUDGED, "19 people in 10 frames"),
        (found(0, 0, None), Outcome.UNJUDGED, "0 people"),
    ],
)
def test_the_bar(agreement: Agreement, outcome: Outcome, telling: str) -> None:
    """At most 3 % missed, but one always may be; the others much alike; too few people are not judged."""
    judged = verdict(agreement, missed_max=0.03, oks_min=0.85)
    assert judged.outcome is outcome
    assert telling in judged.reason
    assert bool(judged.reason) == (outcome is not Outcome.PASSED)
