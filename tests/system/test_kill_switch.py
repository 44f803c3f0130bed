"""The short version of a test that runs on its own."""

import subprocess
import sys

import pytest

from tests.system.process import ROOT


@pytest.mark.timeout(300)
def test_kills_around_commands() -> None:
    """Kill -9 around a command leaves the old or the new settings, and a repeated id does nothing twice."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.system.kill_switch", "--times", "5"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "5 kills" in ran.stdout
