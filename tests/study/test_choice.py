"""Promises about which configuration is chosen for a wish, whatever was measured."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.benchmark.choice import (
    choosable,
    cpu_percent,
    frontier,
    holds,
    hopeless,
    misses,
    nearest,
    preferred,
    quality,
    winner,
)
from agent.control.tuning import decision
from agent.wire.commands import Agreement
from agent.wire.tuning import Trial, Wish
from tests.study.trials import UNAVAILABLE, at_pace, trial

WISH = Wish(fps=10.0, age_ms=100.0, cpu_percent=60.0)
SEEN = st.none() | st.builds(at_pace, st.just(10.0), st.floats(1, 10), st.floats(1, 500), st.floats(1, 200))
TRIALS = st.lists(
    st.builds(
        trial,
        st.none() | st.floats(0, 1),
        st.floats(0.1, 200),
        st.floats(1, 500),
        st.floats(1, 500),
        seen=SEEN,
        accurate=st.sampled_from([True, None, False]),
    )
    | st.just(UNAVAILABLE),
    max_size=10,
)
WISHES = st.builds(
    Wish, fps=st.floats(0.1, 60), age_ms=st.none() | st.floats(1, 500), cpu_percent=st.none() | st.floats(1, 200)
)


def better(one: Trial, other: Trial) -> bool:
    """By more than rounding, in every figure."""
    pairs = [(one.quality or 0, other.quality or 0), (one.fps or 0, other.fps or 0)]
    pairs += [(other.latency_ms or 0, one.latency_ms or 0), (other.cpu_ms or 0, one.cpu_ms or 0)]
    return all(mine > its * 1.11 + 0.011 for mine, its in pairs)


@given(TRIALS)
def test_the_frontier_is_what_is_worth_having(trials: list[Trial]) -> None:
    """Nothing on it is beaten in everything; there is one wherever anything may be chosen, and it says all that may."""
    edge = frontier(trials)
    able = [index for index, each in enumerate(trials) if choosable(each)]
    assert set(edge) <= set(able)
    assert bool(edge) == bool(able)
    assert len(set(edge)) == len(edge)
    for index in edge:
        assert not any(better(trials[other], trials[index]) for other in able)
    most = max((round(trials[index].quality or 0, 2) for index in able), default=None)
    assert most is None or round(trials[edge[0]].quality or 0, 2) == most
    qualities = [round(trials[index].quality or 0, 2) for index in edge]
    assert qualities == sorted(qualities, reverse=True)


@given(TRIALS, WISHES)
def test_the_winner_holds_the_wish_and_finds_most(trials: list[Trial], wish: Wish) -> None:
    """It was tried at the camera's pace and keeps a tenth to spare; who finds clearly more does not hold it."""
    chosen = winner(trials, wish)
    holders = [index for index, each in enumerate(trials) if holds(each, wish)]
    assert (chosen is None) == (not holders)
    if chosen is None:
        return
    best, seen = trials[chosen], trials[chosen].at_pace
    assert choosable(best)
    assert seen is not None
    assert best.fps is not None
    assert wish.fps <= 0.9 * best.fps + 1e-9
    assert wish.age_ms is None or seen.age_ms_p95 <= 0.9 * wish.age_ms + 1e-9
    assert wish.cpu_percent is None or seen.cpu_percent <= 0.9 * wish.cpu_percent + 1e-9
    for index in holders:
        assert (trials[index].quality or 0) <= (best.quality or 0) + 0.01


@given(TRIALS, WISHES)
def test_what_comes_nearest(trials: list[Trial], wish: Wish) -> None:
    """Wherever anything may be chosen one is nearest, one that was tried before one of which less is known."""
    near = nearest(trials, wish)
    able = [each for each in trials if choosable(each)]
    assert (near is None) == (not able)
    if near is not None:
        assert choosable(trials[near])
        assert trials[near].at_pace is not None or all(each.at_pace is None for each in able)


@given(TRIALS, WISHES)
def test_every_choice_has_words(trials: list[Trial], wish: Wish) -> None:
    """Whatever was measured, the decision is a sentence that names what it decides on."""
    chosen = winner(trials, wish)
    near = nearest(trials, wish)
    text = decision(tuple(trials), chosen, near)
    assert text
    named = chosen if chosen is not None else near
    assert named is None or trials[named].recipe.model in text


def test_a_tenth_is_kept_to_spare() -> None:
    """What was measured over seconds has to last: just holding a wish is not enough."""
    easy = trial(seen=at_pace(age_ms=89, cpu=53))
    assert misses(easy, WISH) == ()
    assert misses(trial(seen=at_pace(age_ms=95, cpu=40)), WISH) == ("95 ms of age, where 100 may be",)
    assert misses(trial(seen=at_pace(cpu=58)), WISH) == ("58 % of a core, where 60 may be",)
    assert misses(trial(fps=10.5, cpu_ms=30), WISH) == ("10.5 frames a second of 10",)
    assert misses(trial(seen=at_pace(fps=8.0)), WISH) == ("8.0 frames a second of 10",)


def test_most_people_first_then_least_work_then_the_plainer() -> None:
    """Qualities that a person would call the same are the same; then the processor decides, and then the order."""
    trials = [
        trial(0.70, cpu_ms=20, seen=at_pace(cpu=20)),
        trial(0.803, cpu_ms=45, seen=at_pace(cpu=45)),
        trial(0.797, cpu_ms=30, seen=at_pace(cpu=30), precision="FP16"),
        trial(0.80, cpu_ms=30, seen=at_pace(cpu=30), precision="INT8"),
        trial(0.99, cpu_ms=90),
    ]
    assert preferred(trials, WISH) == (2, 3, 1, 0)
    assert winner(trials, WISH) == 2
    assert frontier([trials[2], trials[3]]) == (0,), "of equals the first stands for all"


def test_nobody_is_chosen_at_the_price_of_people() -> None:
    """A precision that a switch would refuse is not chosen, however cheap; what nobody could judge may be."""
    refused, unknown = trial(0.9, seen=at_pace(), accurate=False), trial(0.4, seen=at_pace(), accurate=None)
    assert winner([refused, unknown], WISH) == 1
    assert frontier([refused, unknown]) == (1,)
    assert nearest([refused, UNAVAILABLE], WISH) is None


def test_without_a_winner_the_nearest_is_told() -> None:
    """The one whose worst part is least far away, with what it does not hold."""
    trials: tuple[Trial, ...] = (
        trial(0.9, cpu_ms=180, seen=at_pace(cpu=180, age_ms=120)),
        trial(0.5, cpu_ms=70, seen=at_pace(cpu=70, age_ms=60)),
        UNAVAILABLE,
    )
    trials = tuple(each.model_copy(update={"fails": misses(each, WISH)}) for each in trials)
    assert winner(trials, WISH) is None
    assert nearest(trials, WISH) == 1
    assert decision(trials, None, 1) == (
        "nothing holds the wish; movenet-multipose 256 px FP32 CPU latency comes nearest: "
        "70 % of a core, where 60 may be"
    )
    assert "no choice can be made" in decision((UNAVAILABLE,), None, nearest([UNAVAILABLE], WISH))


def test_what_a_wish_beyond_the_footage_costs() -> None:
    """Tried at ten frames a second and wanted at thirty, three times the processor time is expected."""
    wish = Wish(fps=30.0, cpu_percent=100.0)
    assert cpu_percent(trial(seen=at_pace(cpu=40)), wish) == pytest.approx(120)
    assert cpu_percent(trial(cpu_ms=20), wish) == pytest.approx(60)


def test_what_comes_is_looked_at() -> None:
    """Fewer frames are wished for than come: what a box is able to do of them it does, and that is what it costs."""
    wish = Wish(fps=2.0, pace=10.0, cpu_percent=60.0)
    assert cpu_percent(trial(fps=40, cpu_ms=40), wish) == pytest.approx(40)
    assert cpu_percent(trial(fps=5, cpu_ms=200), wish) == pytest.approx(100)
    assert cpu_percent(trial(fps=0.5, cpu_ms=2000), wish) == pytest.approx(400)
    assert misses(trial(seen=at_pace(fps=4.0)), wish) == ()
    assert misses(trial(seen=at_pace(fps=1.0)), wish) == ("1.0 frames a second of 2",)


def test_a_size_that_need_not_be_grown() -> None:
    """Twice as slow or dear as wished, no larger input is tried; what others took of the machine is no reason."""
    assert hopeless(trial(fps=4.9), WISH)
    assert not hopeless(trial(fps=4.9, disturbed="other processes took 80 % of the machine"), WISH)
    assert not hopeless(trial(fps=5.1), WISH)
    assert hopeless(trial(cpu_ms=121), WISH)


@pytest.mark.parametrize(
    ("people", "missed", "invented", "oks", "expected"),
    [(40, 0, 0, 1.0, 1.0), (40, 10, 0, 0.8, 0.6), (40, 0, 10, 1.0, 0.8), (40, 40, 0, None, 0.0), (0, 0, 0, None, None)],
)
def test_the_quality_of_an_agreement(
    people: int, missed: int, invented: int, oks: float | None, expected: float | None
) -> None:
    """Who is missed and who is made up cost the same; of an empty scene nothing can be said."""
    found = quality(Agreement(frames=10, people=people, missed=missed, invented=invented, mean_oks=oks))
    assert found == (None if expected is None else pytest.approx(expected))
