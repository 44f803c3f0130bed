"""A plugin: of a pytest worker that dies or hangs, the end of the run shows where it stood.

Its standard output is nobody's, so that what it had to say would go with it.
"""

import faulthandler
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import pytest

WORKER: Final = os.environ.get("PYTEST_XDIST_WORKER")
FOLDER: Final = "PYTEST_TRACES"
"""Names the folder with a file for each worker of this run."""
HUNG_S = 600.0
"""A worker whose test neither ends nor fails at its time-out, as in native code or while it tidies up, is ended."""


class Traces:
    """What a worker leaves behind."""

    def __init__(self, folder: Path) -> None:
        self._file: IO[str] = (folder / f"{WORKER}.txt").open("w")

    def pytest_sessionstart(self) -> None:
        """Have a fatal signal told in the file: pytest's own plugin had it told elsewhere, a moment ago."""
        faulthandler.enable(self._file)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Iterator[None]:
        """Wait for a test only so long."""
        self._wait()
        try:
            return (yield)
        finally:
            faulthandler.cancel_dump_traceback_later()

    @pytest.hookimpl(trylast=True)
    def pytest_exception_interact(self) -> None:
        """Go on waiting: a failure, at which pytest's own plugin stops, has its fixtures to end yet."""
        self._wait()

    def _wait(self) -> None:
        faulthandler.dump_traceback_later(HUNG_S, file=self._file, exit=True)


def pytest_configure(config: pytest.Config) -> None:
    """Have what the workers leave behind kept."""
    if WORKER is not None:
        config.pluginmanager.register(Traces(Path(os.environ[FOLDER])))
    elif config.getoption("numprocesses", None):
        folder = tempfile.TemporaryDirectory(prefix="edgepose-traces-")
        config.add_cleanup(folder.cleanup)
        os.environ[FOLDER] = folder.name


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show where the workers that died stood."""
    if WORKER is not None or FOLDER not in os.environ:
        return
    for file in sorted(Path(os.environ[FOLDER]).glob("*.txt")):
        if trace := file.read_text(errors="replace"):
            terminalreporter.section(f"the end of {file.stem}")
            terminalreporter.write_line(trace)
