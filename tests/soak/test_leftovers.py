"""The short version of `make soak-faults`, and what its judge makes of figures."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from tests.soak.faults import FAULTS
from tests.soak.leftovers import leftovers
from tests.soak.rig import rig
from tests.soak.verdict import WARM_FAULTS, Happened, Promise, Sample, Soak, judge_rounds

BEGIN = datetime(2026, 1, 31, 6, 0, tzinfo=UTC)
QUICK = tuple(fault for fault in FAULTS if fault.name in {"commands refused", "device switched"})


def faults(count: int, *, kb: float, scatter_kb: float = 0.0) -> Soak:
    """So many, a minute apart, in rounds of ten, each of which leaves so much, and ten more in the warm-up."""
    done, chance = Soak(BEGIN, BEGIN + timedelta(minutes=count), code=0, asked_to_end=True), random.Random(1)
    for number in range(1, count + 1):
        at = BEGIN + timedelta(minutes=number)
        done.happened.append(Happened("any", 2.0, frozenset(), at, at, 0.1, over=True))
        if number % 10 == 0:
            held = kb * number + 10 * min(number, WARM_FAULTS) + chance.uniform(-1, 1) * scatter_kb
            anon_mb = 180 + held / 1024
            done.samples.append(
                Sample(at + timedelta(seconds=30), "", True, 300.0, anon_mb, 290.0, 7, 14, 10.0, 8.0, 9.0, 20.0)
            )
    return done


def memory(done: Soak) -> Promise:
    """What is made of it."""
    return next(promise for promise in judge_rounds(done) if promise.name == "memory a fault")


@pytest.mark.parametrize(
    ("kb", "scatter_kb", "kept"), [(0, 100, True), (8, 100, True), (30, 100, False), (8, 10_000, None)]
)
def test_what_a_fault_leaves_is_judged_by_its_interval(kb: float, scatter_kb: float, kept: bool | None) -> None:
    """Little is kept, much is not, what scatters too much cannot be told; the warm-up does not count."""
    assert memory(faults(300, kb=kb, scatter_kb=scatter_kb)).kept is kept


def test_the_slope_is_that_of_the_faults_after_the_warm_up() -> None:
    """Eight kilobytes a fault are half a megabyte an hour at a fault a minute."""
    assert memory(faults(300, kb=8)).measured.startswith("+8.0 kB, 95 % between +8.0 and +8.0, 21 moments after 100")
    assert memory(faults(300, kb=8)).measured.endswith("+0.47 MB an hour")


def test_few_faults_tell_nothing() -> None:
    """The warm-up alone is no figure."""
    assert memory(faults(WARM_FAULTS, kb=100)).kept is None


def test_a_return_that_was_not_waited_for_is_no_fault() -> None:
    """Ctrl-C between the end of a fault and the poses after it: nothing is known of that return."""
    done = faults(3, kb=8)
    done.happened.append(Happened("any", 2.0, frozenset(), done.end, done.end))
    back = next(promise for promise in judge_rounds(done) if promise.name == "back after: any")
    assert (back.kept, back.measured) == (True, "3 of 3, slowest 0.1 s")


@pytest.mark.usefixtures("store")
def test_two_rounds() -> None:
    """Each fault of each round happened, was recovered from and is explained, and after each round it was read once."""
    with rig(window_s=1.0, outage_s=(0.5, 1.0), frozen_after_s=2.0, long_side=128) as running:
        done = leftovers(running, 2 * len(QUICK), QUICK, quiet_s=2.0)
    assert [fault.name for fault in done.happened] == [fault.name for fault in QUICK] * 2
    promises = {promise.name: promise.kept for promise in judge_rounds(done)}
    assert promises.pop("memory a fault") is None
    assert len(done.samples) == 2
    assert all(kept is not False for kept in promises.values()), judge_rounds(done)
