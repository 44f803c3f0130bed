"""How the tests themselves are run: what goes wrong with one is told, and what they start is what a user starts."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.broker import Broker, Listener
from tests.system.process import ROOT, Born, Process

TESTS = """
import ctypes, threading, time
import pytest
from tests import traces

@pytest.fixture
def never_tidied():
    yield
    time.sleep(60)

@pytest.mark.timeout(1)
def test_waits_too_long():
    threading.Event().wait()

def test_falls():
    ctypes.string_at(0)

@pytest.mark.timeout(1)
def test_never_tidies_up(never_tidied, monkeypatch):
    monkeypatch.setattr(traces, "HUNG_S", 2.0)
    threading.Event().wait()

def test_is_well():
    pass
"""


TWO_PLUGINS = """
import signal
import openvino as ov
from tests.signals import handle_on_the_ordinary_stack

cores = [ov.Core(), ov.Core()]
for core in cores:
    core.get_property("CPU", "FULL_DEVICE_NAME")
del core, cores[0]
cores.clear()
signal.signal(signal.SIGINT, lambda *_: print("heard"))
handle_on_the_ordinary_stack()
signal.raise_signal(signal.SIGINT)
"""


def test_a_listener_leaves_no_socket_to_the_collector(tmp_path: Path) -> None:
    """Whatever a client of paho opened is closed with it: what is left fails the test in which it is collected."""
    with Broker(tmp_path) as broker:
        before = psutil.Process().num_fds()
        with Listener(broker.port) as listener:
            assert psutil.Process().num_fds() > before
        assert (psutil.Process().num_fds(), listener.messages) == (before, [])


def test_a_signal_after_two_plugins_is_heard() -> None:
    """CPU plugins that end in the order of their making leave the thread a stack for signals that nobody has."""
    done = subprocess.run([sys.executable, "-c", TWO_PLUGINS], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr


def test_what_ends_a_test_is_told(tmp_path: Path) -> None:
    """A time-out fails the test that had it; of a worker that died or hung the end of the run shows where it stood."""
    (tmp_path / "test_told.py").write_text(TESTS)
    plugins = ["-p", "xdist.plugin", "-p", "pytest_timeout", "-p", "tests.traces", "-p", "no:cacheprovider"]
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    folders = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, *folders, "-n", "1", str(tmp_path / "test_told.py")],
        env=ours | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout
    assert "test_is_well" not in said
    assert "1 passed" in said, said + done.stderr
    assert "Failed: Timeout (>1.0s) from pytest-timeout" in said
    assert "Segmentation fault" in said
    assert "in test_falls" in said
    assert "in never_tidied" in said


PROGRAM = """
import os, signal, sys, threading
print(sys.argv[1:], os.getcwd(), os.getsid(0) == os.getpid(), os.environ["EDGEPOSE_X"], "HOME" in os.environ)
print(sorted(int(fd) for fd in os.listdir("/proc/self/fd"))[:-1], len(os.listdir("/proc/self/task")))
print("an error", file=sys.stderr, flush=True)
if sys.argv[1] == "wait":
    print("waits", flush=True)
    threading.Event().wait()
sys.exit(int(sys.argv[1]))
"""


@pytest.mark.parametrize("kind", [Process, Born])
def test_who_is_born_is_as_who_was_started(kind: type[Process]) -> None:
    """Arguments, folder, session, environment, outputs, descriptors, threads, exit codes and signals are the same."""
    command = [sys.executable, "-c", PROGRAM]
    with kind([*command, "3", "more"], EDGEPOSE_X="y") as process, kind([*command, "wait"], EDGEPOSE_X="z") as other:
        assert process.end() == 3
        assert process.out == [f"['3', 'more'] {ROOT} True y True", "[0, 1, 2] 1"]
        assert process.errors == ["an error"]
        other.wait_out("waits")
        assert other.popen.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            other.popen.wait(0)
        other.signal(signal.SIGKILL)
        assert other.end() == -signal.SIGKILL
        other.signal(signal.SIGTERM)
