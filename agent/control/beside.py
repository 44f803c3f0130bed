"""Work of `models` beside the agent: in a process of its own, at the lowest priority, followed to its end."""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Final

import psutil
import structlog
from pydantic import JsonValue

from agent.control.workshop import Tell
from agent.errors import CancelledError, EdgeposeError

log = structlog.get_logger()

POLL_S: Final = 0.2
LOWEST: Final = 19
"""Priority, as `nice` counts: the people in view come first."""


class Beside:
    """Runs one process at a time; :meth:`run` blocks and belongs in a thread of its own.

    ``name`` is what people know it by. One that computes nothing for ``still_s`` hangs, and is ended.
    """

    def __init__(self, name: str, still_s: float) -> None:
        self._name = name
        self._still_s = still_s
        self._process: subprocess.Popen[str] | None = None

    def run(self, command: Sequence[str], tell: Tell, cancelled: threading.Event, *, hint: str) -> JsonValue:
        """Return the JSON it prints; its progress, lines of JSON on standard error, is told.

        ``hint`` is the cure where it names none itself. Raises EdgeposeError, CancelledError when cancelled.
        """
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own program
            self._process = process
            psutil.Process(process.pid).nice(LOWEST)
            ended = threading.Event()
            watcher = threading.Thread(target=end_when, args=(process, cancelled, ended, self._still_s), daemon=True)
            watcher.start()
            assert process.stderr is not None
            assert process.stdout is not None
            said = _follow(process.stderr, tell)
            told = process.stdout.read()
            ended.set()
        self._process = None
        if cancelled.is_set():
            raise CancelledError(f"cancelled during {self._name}")
        if process.returncode:
            killed = ": it hung, or memory ran out" if process.returncode == -signal.SIGKILL else ""
            what = said.get("Error", f"{self._name} ended with {process.returncode}{killed}")
            raise EdgeposeError(what, hint=said.get("Hint", hint))
        report: JsonValue = json.loads(told)
        return report

    def kill(self) -> None:
        """The agent ends, and may not wait for it to notice."""
        if (process := self._process) is not None:
            process.kill()


def end_when(
    process: "subprocess.Popen[str]", cancelled: threading.Event, ended: threading.Event, still_s: float
) -> None:
    """End a process when it is cancelled, or has computed nothing for ``still_s``; until it ``ended`` by itself."""
    busy_s, since = 0.0, time.monotonic()
    while not ended.wait(POLL_S):
        try:
            used = psutil.Process(process.pid).cpu_times()
        except psutil.NoSuchProcess:
            return
        if (now_busy_s := used.user + used.system) != busy_s:
            busy_s, since = now_busy_s, time.monotonic()
        if cancelled.is_set():
            process.terminate()
            return
        if time.monotonic() - since > still_s:
            log.error("job.hung", still_s=still_s)
            process.kill()
            return


def _follow(lines: Iterable[str], tell: Tell) -> dict[str, str]:
    """Pass on the progress that stands in the lines; returns what the others say was wrong, and the cure."""
    said: dict[str, str] = {}
    for line in lines:
        try:
            news = json.loads(line)
            tell(str(news["step"]), float(news["progress"]))
        except (ValueError, KeyError, TypeError):
            what, _colon, text = line.partition(":")
            if what in {"Error", "Hint"}:
                said[what] = text.strip()
    return said
