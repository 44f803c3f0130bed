"""The short version of a test that runs on its own."""

import sys

import pytest

from tests.system import kill_switch


def test_kills_around_commands(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Kill -9 around a command leaves the old or the new settings, and a repeated id does nothing twice."""
    monkeypatch.setattr(sys, "argv", ["kill_switch", "--times", "5"])
    code = kill_switch.main()
    told = capsys.readouterr().out
    assert code == 0, told
    assert "5 kills" in told
