"""However the tests are started, the programs they start take signals as a terminal's do."""

import signal
import subprocess
import sys

from tests.system.process import ROOT

PROBE = """
import signal
import tests.conftest
import subprocess, sys
child = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
print(subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True).stdout.strip())
"""


def test_a_background_shell_takes_no_signal_away() -> None:
    """Started with SIGINT ignored, as by nohup or a script's `&`, the tests' own children still end at Ctrl-C."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert done.stdout.strip() == "True"
