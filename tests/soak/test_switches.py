"""The short version of `make soak-switch`."""

from pathlib import Path

import numpy as np
import pytest

from tests.broker import Broker
from tests.inference import stages
from tests.soak.footprint import Footprint
from tests.soak.switches import HOME, SHORT_ROUND, WARM, Findings, soak

SWITCHES = 12
TO_AND_FRO = 6


@pytest.mark.usefixtures("store")
def test_a_dozen_switches_lose_nothing(tmp_path: Path) -> None:
    """A dozen switches under a feed that loses nothing: no hole, no wrong engine number, nothing left open behind."""
    with Broker(tmp_path) as broker:
        findings = soak(broker.port, tmp_path, SWITCHES, seed=3, short=True)
    check(findings, SWITCHES)
    assert len(findings.homes) >= SWITCHES // SHORT_ROUND, f"it was not brought back to {HOME}"


@pytest.mark.usefixtures("store")
def test_between_one_stage_and_two(tmp_path: Path) -> None:
    """To and fro between a network of one stage and one of two: the same holds, and each says whose poses these are."""
    with Broker(tmp_path) as broker:
        findings = soak(broker.port, tmp_path, TO_AND_FRO, seed=3, short=True, stages=True)
    check(findings, TO_AND_FRO)
    assert len(findings.homes) == TO_AND_FRO // 2
    assert set(findings.models.values()) == {HOME["model"], stages.POSE}


def check(findings: Findings, switches: int) -> None:
    """Every switch had an engine of its own, no result is missing, and nothing is left open behind."""
    assert findings.switches == switches
    assert not findings.faults
    assert len(findings.models) == switches + 1, "not every switch had an engine of its own"
    assert not findings.left_behind(), findings.homes


@pytest.mark.parametrize(("leak_kb", "kept"), [(0, True), (15, True), (30, False)])
def test_memory_is_judged_after_the_warm_up(leak_kb: int, kept: bool) -> None:
    """What the box comes to remember in its first switches is no growth; what goes on growing after them is."""
    findings = Findings(switches=100)
    for at in range(2, 101, 2):
        held = 270_000 + 100 * min(at, WARM) + leak_kb * at
        findings.homes.append((at, Footprint(held, held // 2, 13, 8)))
    assert findings.growth_kb() == pytest.approx(leak_kb)
    assert (findings.growth_kb() <= 20) is kept
    assert all(at >= WARM for at, _foot in findings.warm())


@pytest.mark.parametrize(
    ("descriptors", "left"),
    [((8, 8, 8), []), ((9, 8, 8), []), ((8, 9, 8), [4]), ((8, 9, 10), [4, 6]), ((9, 8, 9), [6])],
)
def test_what_is_left_behind_is_told(descriptors: tuple[int, ...], left: list[int]) -> None:
    """More of anything than at a visit before is a fault, be it no more than at the first, when all may not be over."""
    homes = [(2 * visit, Footprint(1, 1, 13, count)) for visit, count in enumerate(descriptors, 1)]
    assert Findings(homes=homes).left_behind() == left


def test_too_few_switches_judge_nothing() -> None:
    """Before the warm-up is over nothing is said of memory."""
    findings = Findings(switches=30, homes=[(at, Footprint(at * 1000, 1, 13, 8)) for at in range(2, 31, 2)])
    assert np.isnan(findings.growth_kb())
