"""The short version of `make soak-switch`."""

from pathlib import Path

import pytest

from tests.broker import Broker
from tests.soak.switches import HOME, SHORT_ROUND, soak

SWITCHES = 12


@pytest.mark.usefixtures("store")
def test_a_dozen_switches_lose_nothing(tmp_path: Path) -> None:
    """A dozen switches under a feed that loses nothing: no hole, no wrong engine number, nothing left open behind."""
    with Broker(tmp_path) as broker:
        findings = soak(broker.port, tmp_path, SWITCHES, seed=3, short=True)
    assert findings.switches == SWITCHES
    assert not findings.faults
    assert len(findings.models) == SWITCHES + 1, "not every switch had an engine of its own"
    assert len({foot.descriptors for _, foot in findings.homes}) == 1
    assert len({foot.threads for _, foot in findings.homes}) == 1
    assert len(findings.homes) >= SWITCHES // SHORT_ROUND, f"it was not brought back to {HOME}"
