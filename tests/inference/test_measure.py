"""Promises of measuring layers: once, in pieces that are kept, told, given up when wanted, and within a time."""

import math
from collections.abc import Iterator
from pathlib import Path

import openvino as ov
import pytest
from structlog.testing import capture_logs

from agent.errors import CancelledError
from agent.inference import measure as measuring
from agent.inference.graph import read_graph
from agent.inference.measure import (
    ASSUMED_MS_PER_BYTE,
    PROBE_SIDES,
    Conduct,
    CrossingCost,
    Measurement,
    fitted,
    measure,
)
from agent.inference.spec import EngineSpec
from agent.inference.split import choose
from tests.inference.engines import CORE
from tests.inference.test_properties import two_convolutions

DEVICES = ("SIMCPU", "CPU")
SPEC = EngineSpec("tiny", "HETERO:SIMCPU,CPU", "FP32", 32, 32)
STEPS = len(DEVICES) + 1 + len(PROBE_SIDES)


@pytest.fixture(autouse=True)
def _forgetful() -> Iterator[None]:
    """Start as an agent does, with nothing in memory."""
    measuring._kept.clear()
    yield
    measuring._kept.clear()


def measured(
    folder: Path | None, *, until_s: float = math.inf, give_up_at: str = "never"
) -> tuple[Measurement, list[tuple[str, float]]]:
    """Measure the small network; the result and what was told. Gives up at a step, by a word that is in it."""
    told: list[tuple[str, float]] = []

    def go_on() -> None:
        if told and give_up_at in told[-1][0]:
            raise CancelledError("it was given up")

    network: ov.Model = two_convolutions()
    conduct = Conduct(folder, until_s, lambda step, share: told.append((step, share)), go_on)
    return measure(CORE, network, read_graph(network), SPEC, DEVICES, conduct), told


def test_what_was_measured_is_not_measured_again(tmp_path: Path) -> None:
    """Not by the same process, and not by the next: a restart finds the same figures, and so the same cut."""
    first, told = measured(tmp_path)
    assert [share for _step, share in told] == [number / STEPS for number in range(STEPS)]
    again, told_again = measured(tmp_path)
    measuring._kept.clear()
    restarted, told_then = measured(tmp_path)
    assert told_again == told_then == []
    assert first.times_ms == again.times_ms == restarted.times_ms
    assert first.crossing == again.crossing == restarted.crossing


def test_what_is_given_up_goes_on_where_it_ended(tmp_path: Path) -> None:
    """Between two pieces it can be given up; those that are measured stay, also over a restart."""
    with pytest.raises(CancelledError):
        measured(tmp_path, give_up_at="cross")
    measuring._kept.clear()
    _measurement, told = measured(tmp_path)
    assert told
    assert not any("alone" in step for step, _share in told)


def test_without_time_the_network_stays_whole() -> None:
    """After its time only what a plan cannot do without is measured: no crossing, so no cut; the next one has time."""
    measurement, told = measured(None, until_s=0.0)
    assert measurement.crossing == {}
    assert not any("cross" in step for step, _share in told)
    assert len(set(choose(measurement.graph, measurement).devices.values())) == 1
    assert set(measured(None)[0].crossing) == {("SIMCPU", "CPU"), ("CPU", "SIMCPU")}


def test_one_crossing_is_enough_for_a_guess() -> None:
    """Of a crossing of which only the smallest tensor was timed the rest is assumed, rather too slow than free."""
    assert fitted([(2048, 0.5)]) == CrossingCost(0.5, ASSUMED_MS_PER_BYTE)


def test_a_damaged_measurement_is_made_again(tmp_path: Path) -> None:
    """What cannot be read back is told and measured anew."""
    measured(tmp_path)
    (kept,) = tmp_path.glob("*.json")
    kept.write_text("{")
    measuring._kept.clear()
    with capture_logs() as logs:
        _measurement, told = measured(tmp_path)
    assert len(told) == STEPS
    assert [entry["event"] for entry in logs] == ["cache.damaged"]
