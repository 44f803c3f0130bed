"""Promises of a study on a machine that is not left alone: simulated, the same every time."""

import pytest

from agent.benchmark.rounds import next_place
from agent.benchmark.rows import best
from agent.wire.apart import told_apart
from agent.wire.commands import Aim
from agent.wire.study import Row
from controller.report.compare import UNSURE, times
from controller.report.rows import Entry
from tests.study.machine import DRIFT, Machine, study
from tests.study.test_rows import row

STUDIES = 20
RUNS = 20
"""As many as a sweep makes unless told."""
AIMS: tuple[Aim, ...] = ("best", "best-throughput", "best-latency")


def unmeasured(device: str) -> Row:
    """A row of which everything is known but its runs."""
    return row(device=device).model_copy(update={"runs": (), "fps": None, "latency_ms": None})


def measured(seed: int, *speeds: float) -> list[Row]:
    devices = ("CPU", "SIMCPU", "GPU")[: len(speeds)]
    return study(Machine(seed), [unmeasured(device) for device in devices], list(speeds), RUNS)


def winners(*speeds: float) -> list[list[int | None]]:
    """Who wins each of the studies, by each aim."""
    return [[best(rows, aim) for aim in AIMS] for rows in (measured(seed, *speeds) for seed in range(STUDIES))]


def test_of_two_equal_rows_none_wins() -> None:
    """In twenty studies none is named, whatever the machine did, and no sentence is without the sign of doubt."""
    assert winners(60.0, 60.0) == [[None, None, None]] * STUDIES
    for seed in range(STUDIES):
        one, other = (Entry(found, ("device",)) for found in measured(seed, 60.0, 60.0))
        assert times(one, other).startswith(UNSURE)


@pytest.mark.parametrize("faster", [0, 1])
def test_a_true_difference_is_found(faster: int) -> None:
    """Of twenty studies of rows that differ by 15 %, as much as the machine drifts, at least eighteen name the faster.

    None names the other.
    """
    assert 2 * DRIFT >= 0.15
    speeds = [60.0, 60.0]
    speeds[faster] *= 1.15
    found = winners(*speeds)
    assert sum(each == [faster] * 3 for each in found) >= 18
    assert not [each for each in found if 1 - faster in each]


def test_a_third_row_far_behind_changes_nothing() -> None:
    """Two that are equal stay undecided where a third is slower; the slow one never wins."""
    assert winners(60.0, 60.0, 20.0) == [[None, None, None]] * STUDIES


def test_intervals_hold_what_a_quiet_machine_would_give() -> None:
    """Of twenty intervals at least eighteen contain the mean of all drifts: they are as wide as the machine wanders."""
    inside = 0
    for seed in range(STUDIES):
        (found, _other) = measured(seed, 60.0, 60.0)
        if any(run.disturbed for run in found.runs):
            inside += 1  # of such a row nothing is claimed
            continue
        assert found.fps is not None
        assert found.fps.interval is not None
        low, high = found.fps.interval
        inside += low <= 60.0 <= high
    assert inside >= 18


def test_rounds_go_from_row_to_row() -> None:
    """A B C, A B C; what is unavailable is passed over, and a row of fewer runs is done before the others."""
    gone = unmeasured("NPU").model_copy(update={"status": "unavailable"})
    rows, order = [unmeasured("CPU"), gone, unmeasured("SIMCPU")], []
    wanted = [2, 3, 3]
    while (place := next_place(rows, wanted)) is not None:
        order.append(place)
        run = row().runs[0]
        rows[place] = rows[place].model_copy(update={"runs": (*rows[place].runs, run)})
    assert order == [0, 2, 0, 2, 2]


def test_rounds_pair_by_their_number() -> None:
    """A run that was disturbed takes its round out of the comparison, and shifts no other."""
    slow = [row(10.0 * number, 20.0).runs[0].model_copy(update={"round": number}) for number in range(1, 7)]
    fast = [run.model_copy(update={"fps": run.fps * 1.1}) for run in slow]
    one, other = row(device="CPU"), row(device="SIMCPU")
    assert told_apart(one.model_copy(update={"runs": tuple(slow)}), other.model_copy(update={"runs": tuple(fast)}))
    late = (fast[0].model_copy(update={"disturbed": "others"}), *fast[1:])
    assert told_apart(one.model_copy(update={"runs": tuple(slow)}), other.model_copy(update={"runs": late}))
    few = late[:3]
    assert not told_apart(one.model_copy(update={"runs": tuple(slow)}), other.model_copy(update={"runs": few}))
