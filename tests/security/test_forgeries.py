"""The short version of a test that runs on its own."""

import subprocess
import sys

import pytest

from tests.system.process import ROOT


@pytest.mark.timeout(300)
def test_no_forgery_is_obeyed() -> None:
    """What is replayed, redirected, expired, unsigned, cut or changed is not obeyed, across restarts of the agent."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.security.forgeries", "--times", "20"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.count("0 of 20 obeyed") == 8
