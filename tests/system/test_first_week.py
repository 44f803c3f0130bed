"""docs/first-week.md is typed as it stands there, and prints what it says: thirty tasks on a real broker and agents."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from models.shelf.store import models_dir
from tests.broker import MOSQUITTO, free_port
from tests.nursery import BIN, NURSERY, PROGRAMS, Child
from tests.system.process import ROOT, Process, environment

PAGE: Final = ROOT / "docs" / "first-week.md"
PART: Final = re.compile(
    r"^<!-- (?P<note>[^\n]*) -->$|^```(?P<language>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)
AGAIN_S: Final = 120.0
"""So long is a command tried again that waits for what was begun in another terminal."""
PAUSE_S: Final = 1.0


@dataclass(frozen=True)
class Step:
    """A fenced block, and what the comment above it says of it."""

    note: str
    language: str
    body: str


class Terminal(Process):
    """A program that runs in the week's folder; ours are born in the nursery, with their imports done."""

    def __init__(self, words: list[str], folder: Path, variables: dict[str, str]) -> None:
        super().__init__(words, **variables)
        self._folder = folder

    def _start(self, out: int, errors: int) -> subprocess.Popen[bytes] | Child:
        if self._command[0] in PROGRAMS:
            return NURSERY.bear(self._command, self._environment, out, errors, cwd=self._folder)
        return subprocess.Popen(
            self._command,
            env=self._environment,
            cwd=self._folder,
            stdout=out,
            stderr=errors,
            start_new_session=True,
        )


@dataclass
class Week:
    """Where the page is typed: its folder, its ports, its terminals."""

    folder: Path
    home: Path
    stack: ExitStack
    ports: dict[str, str]
    terminals: dict[str, Process] = field(default_factory=dict)

    @property
    def variables(self) -> dict[str, str]:
        """What the test asks beyond the page: few frames, and nothing outside of its folder."""
        return {
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / ".config"),
            "XDG_STATE_HOME": str(self.home / "state"),
            "PATH": f"{BIN}:{os.environ['PATH']}:/usr/sbin",
            "EDGEPOSE_CAMERA__FPS_MAX": "2",
            "EDGEPOSE_PATHS__MODELS": os.environ.get("EDGEPOSE_PATHS__MODELS", str(models_dir())),
            "EDGEPOSE_BROKER_TIMEOUT": "60",
        }

    def here(self, text: str) -> str:
        """A text of the page with the ports and folders of this run."""
        for port, ours in self.ports.items():
            text = text.replace(port, ours)
        return text.replace("/home/you/week", str(self.folder))

    def write(self, name: str, content: str) -> None:
        """Write a file of the page."""
        path = self.home / name.removeprefix("~/") if name.startswith("~/") else self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # As root mosquitto would take an account that cannot read the test's folder.
        account = "user root\n" if name.endswith(".conf") and os.geteuid() == 0 else ""
        path.write_text(self.here(content) + account, encoding="utf-8")

    def begin(self, terminal: str, line: str) -> None:
        """Type a command into a terminal of its own, where what ran before is ended by Ctrl-C."""
        self.end(terminal)
        words, variables = shlex.split(line), self.variables
        while "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            variables[name] = value
        self.terminals[terminal] = self.stack.enter_context(Terminal(words, self.folder, variables))

    def end(self, terminal: str) -> None:
        """Press Ctrl-C in a terminal where something runs."""
        if (before := self.terminals.pop(terminal, None)) is not None:
            before.signal(signal.SIGINT)
            assert before.end() == 0, before.errors[-5:]

    def type(self, line: str) -> str:
        """Type a command; what it prints."""
        everything = environment(**self.variables)
        words = shlex.split(line)
        if words[0] in PROGRAMS:
            done = NURSERY.run(words, everything, cwd=self.folder, timeout_s=AGAIN_S)
        else:
            done = subprocess.run(
                ["bash", "-c", line], env=everything, cwd=self.folder, capture_output=True, text=True, check=False
            )
        return done.stdout + done.stderr


def steps() -> Iterator[Step]:
    """The blocks of the page in their order; a comment that ends something is a step of its own."""
    note = ""
    for found in PART.finditer(PAGE.read_text(encoding="utf-8")):
        if found["note"] is not None:
            note = found["note"]
            if note.startswith("end: "):
                yield Step(note, "", "")
            continue
        yield Step(note, found["language"], found["body"])
        note = ""


def typed(body: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of a block, and the lines that it should print."""
    lines = body.splitlines()
    while lines:
        command, expected = lines.pop(0).removeprefix("$ "), list[str]()
        while lines and not lines[0].startswith("$ "):
            expected.append(lines.pop(0))
        yield command, expected


def missing(expected: list[str], printed: str) -> str | None:
    """The first expected line that was not printed after those before it; `...` stands for anything."""
    left = iter(printed.splitlines())
    for wanted in expected:
        pattern = re.compile(".*".join(re.escape(part) for part in wanted.split("...")) + r"\s*")
        if not any(pattern.fullmatch(line) for line in left):
            return wanted
    return None


def carry_out(week: Week, step: Step) -> None:
    """Do what a block says, and hold what is printed to it."""
    kind, _, name = step.note.partition(": ")
    if kind == "not run":
        return
    if kind == "end":
        week.end(name)
    elif kind == "file":
        week.write(name, step.body)
    elif kind == "terminal":
        week.begin(name, week.here(step.body.removeprefix("$ ").strip()))
    else:
        assert step.language == "console", step
        until = time.monotonic() + (AGAIN_S if kind == "again until it says so" else 0.0)
        for command, expected in typed(week.here(step.body)):
            printed = week.type(command)
            while (lacking := missing(expected, printed)) and time.monotonic() < until:
                time.sleep(PAUSE_S)  # a person who looks again
                printed = week.type(command)
            assert lacking is None, f"{command}\nhas not printed {lacking!r} but\n{printed}"


@pytest.mark.timeout(900)
def test_the_first_week(tmp_path: Path) -> None:
    """Every task does what the page says, none needs a look into the source."""
    if MOSQUITTO is None or shutil.which("openssl") is None:
        pytest.skip("mosquitto or openssl is not installed")
    folder, home = tmp_path / "clone" / "week", tmp_path / "home"
    folder.mkdir(parents=True)
    home.mkdir()
    (folder.parent / "configs").symlink_to(ROOT / "configs")
    with ExitStack() as stack:
        week = Week(folder, home, stack, {"1883": str(free_port()), "8883": str(free_port())})
        for step in steps():
            carry_out(week, step)


def test_there_are_thirty_tasks() -> None:
    """Numbered from 1 to 30, and what is not run says why."""
    page = PAGE.read_text(encoding="utf-8")
    assert [int(number) for number in re.findall(r"^\*\*(\d+)\. ", page, re.MULTILINE)] == list(range(1, 31))
    left_out = [step for step in steps() if step.note.startswith("not run")]
    assert [step.note.partition(": ")[2] for step in left_out] == [
        "it is what the test runs in",
        "it needs root and systemd",
    ]
