"""A program under test: started, listened to, signalled, and always ended."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Final, Self

from tests.nursery import NURSERY, PROGRAMS, Child

ROOT: Final = Path(__file__).parents[2]
DEMO: Final = ROOT / "configs" / "demo.toml"
BIN: Final = Path(sys.executable).parent

Entry = dict[str, Any]


STATES: Final = tempfile.TemporaryDirectory(prefix="edgepose-states-")


def environment(**variables: str) -> dict[str, str]:
    """Ours without what would change the program's mind, and with what the test says.

    Unless it says so, what a program was asked to be is not remembered for the next one, and a network computes in one
    thread: several tests run at a time, and threads that wait for each other on a busy processor only burn it.
    """
    usual = {"XDG_STATE_HOME": tempfile.mkdtemp(dir=STATES.name), "EDGEPOSE_INFERENCE__THREADS": "1"}
    variables = usual | variables
    return {name: value for name, value in os.environ.items() if not name.startswith("EDGEPOSE_")} | variables


class Process:
    """A command in a session of its own, as a context manager. Leaving kills what it left behind.

    Both outputs are read as they come. A line of standard error that is a JSON object is an entry of the log.
    """

    def __init__(self, command: Sequence[str | Path], **variables: str) -> None:
        self._command = command
        self._environment = environment(**variables)
        self._news = threading.Condition()
        self.out: list[str] = []
        self.errors: list[str] = []
        self._popen: subprocess.Popen[bytes] | Child | None = None
        self._readers: list[threading.Thread] = []

    def __enter__(self) -> Self:
        (our_out, out), (our_errors, errors) = os.pipe(), os.pipe()
        try:
            self._popen = self._start(out, errors)
        finally:
            os.close(out)
            os.close(errors)
        for pipe, lines in ((our_out, self.out), (our_errors, self.errors)):
            reader = threading.Thread(target=self._read, args=(os.fdopen(pipe), lines), daemon=True)
            reader.start()
            self._readers.append(reader)
        return self

    def _start(self, out: int, errors: int) -> subprocess.Popen[bytes] | Child:
        return subprocess.Popen(
            self._command, env=self._environment, cwd=ROOT, stdout=out, stderr=errors, start_new_session=True
        )

    def __exit__(self, *_: object) -> None:
        if self.popen.poll() is None:
            os.killpg(self.popen.pid, signal.SIGKILL)
            self.popen.wait(60)
        for reader in self._readers:
            reader.join(10)

    @property
    def popen(self) -> subprocess.Popen[bytes] | Child:
        assert self._popen is not None
        return self._popen

    def _read(self, pipe: IO[str], lines: list[str]) -> None:
        with pipe:
            for line in pipe:
                with self._news:
                    lines.append(line.rstrip("\n"))
                    self._news.notify_all()

    @property
    def log(self) -> list[Entry]:
        """The log so far."""
        return [json.loads(line) for line in list(self.errors) if line.startswith("{")]

    @property
    def plain_errors(self) -> str:
        """What standard error holds beside the log."""
        return "\n".join(line for line in list(self.errors) if not line.startswith("{"))

    def wait_log(self, event: str, wanted: Callable[[Entry], bool] = lambda _: True, timeout_s: float = 60.0) -> Entry:
        """Return the first such entry of the log, past or future."""

        def found() -> Entry | None:
            return next((entry for entry in self.log if entry.get("event") == event and wanted(entry)), None)

        with self._news:
            self._news.wait_for(lambda: found() is not None, timeout_s)
        entry = found()
        assert entry is not None, f"no {event} among {self.errors}"
        return entry

    def wait_out(self, wanted: str, timeout_s: float = 60.0) -> None:
        """Wait for a text on standard output."""
        with self._news:
            seen = self._news.wait_for(lambda: any(wanted in line for line in self.out), timeout_s)
        assert seen, f"no {wanted!r} in {self.out}, {self.errors}"

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone."""
        self.popen.send_signal(number)

    def end(self, timeout_s: float = 60.0) -> int:
        """Wait for the exit code and for the last line."""
        code = self.popen.wait(timeout_s)
        for reader in self._readers:
            reader.join(10)
        return code


class Born(Process):
    """The same of a program of ours, or of ``python -m`` or ``python -c``: born in the nursery, its imports done."""

    def _start(self, out: int, errors: int) -> Child:
        words = self._command if self._command[0] in PROGRAMS else self._command[1:]
        return NURSERY.bear(words, self._environment, out, errors)


SMALL: Final = {"EDGEPOSE_MODEL__INPUT__LONG_SIDE": "128"}
"""An input of the demo's network that costs little, and shows nobody."""
SEEING: Final = {"EDGEPOSE_MODEL__INPUT__LONG_SIDE": "320"}
"""One that shows the people of the clip."""


RUN: Final = (sys.executable, "-m", "agent", "run", "--config", DEMO)


def agent(port: int, **variables: str) -> Process:
    """`agent run` on the demo's configuration, against a broker on loopback; on a small input unless told otherwise."""
    return Born(RUN, **SMALL | at(port) | variables)


def started(port: int, **variables: str) -> Process:
    """The same as a user starts it, from nothing."""
    return Process(RUN, **SMALL | at(port) | variables)


def at(port: int) -> dict[str, str]:
    """Environment of an agent whose broker listens on a port of this machine."""
    return {"EDGEPOSE_MQTT__HOST": "127.0.0.1", "EDGEPOSE_MQTT__PORT": str(port)}


def finished(*command: str | Path, **variables: str) -> Process:
    """Run a command to its end."""
    with Process(command, **variables) as process:
        process.end(60)
    return process


def told(*words: str | Path, **variables: str) -> Process:
    """Run a command of the agent to its end."""
    with Born([sys.executable, "-m", "agent", *words], **variables) as process:
        process.end(60)
    return process


def passed(module: str, *arguments: str, timeout_s: float = 280.0) -> str:
    """Run a test program that also stands on its own to its end, which must be a success; what it said."""
    with Process([sys.executable, "-m", module, *arguments]) as process:
        code = process.end(timeout_s)
    said = "\n".join(process.out)
    assert code == 0, "\n".join([said, *process.errors])
    return said
