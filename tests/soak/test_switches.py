"""The short version of `make soak-switch`."""

from pathlib import Path

import pytest

from tests.broker import Broker
from tests.inference import stages
from tests.soak.switches import HOME, SHORT_ROUND, Findings, soak

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
    assert len({foot.descriptors for _, foot in findings.homes}) == 1
    assert len({foot.threads for _, foot in findings.homes}) == 1
