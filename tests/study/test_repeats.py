"""Promises about runs that were disturbed."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from agent.benchmark.statistics import another, counted
from agent.wire.study import Run
from tests.study.runs import made_up


def made(wanted: int, disturbances: list[bool]) -> list[Run]:
    """Runs made until no other is wanted, on a machine that is disturbed in turns."""
    done: list[Run] = []
    for disturbed in itertools.cycle(disturbances):
        if not another(done, wanted):
            return done
        done.append(made_up(disturbed=disturbed))
    raise AssertionError("it never ends")


@given(st.integers(1, 40), st.lists(st.booleans(), min_size=1, max_size=60))
def test_disturbed_runs_are_repeated_within_reason(wanted: int, disturbances: list[bool]) -> None:
    """As many runs count as were asked for, or all quiet ones where those are half of them and three at least.

    A disturbed one counts only where the machine gave too few quiet ones. At most half as many again are made, and one
    at least.
    """
    done = made(wanted, disturbances)
    places = counted(done, wanted)
    quiet = [place for place, run in enumerate(done) if run.disturbed is None]
    assert len(done) <= wanted + max(1, wanted // 2)
    assert len(places) == len(set(places))
    enough = len(quiet) >= min(wanted, max(3, wanted // 2))
    assert places == tuple(quiet) if enough else len(places) == wanted
    assert list(places) == sorted(places)
    assert set(quiet) <= set(places)
    if len(quiet) < wanted:
        assert len(done) == wanted + max(1, wanted // 2)


def test_a_quiet_machine_makes_no_run_too_many() -> None:
    """Where nothing disturbs, every run made counts."""
    assert counted(made(20, [False]), 20) == tuple(range(20))


def test_one_disturbed_run_costs_one_more() -> None:
    """A single disturbed run is replaced by a single other."""
    done = made(4, [False, True, False, False, False, False])
    assert len(done) == 5
    assert counted(done, 4) == (0, 2, 3, 4)


def test_a_busy_machine_comes_to_an_end() -> None:
    """Where all is disturbed the first runs count, and keep their mark."""
    done = made(4, [True])
    assert len(done) == 6
    assert counted(done, 4) == (0, 1, 2, 3)
    assert all(run.disturbed for run in done)
