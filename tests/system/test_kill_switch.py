"""The short version of a test that runs on its own."""

from tests.system.process import passed


def test_kills_around_commands() -> None:
    """Kill -9 around a command leaves the old or the new settings, and a repeated id does nothing twice."""
    assert "5 kills" in passed("tests.system.kill_switch", "--times", "5")
