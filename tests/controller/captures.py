"""``make test-terminal``: what every command prints, at four widths, with and without a terminal, colour and UTF-8.

Each output is written below build/terminal, to be looked at, and held to this: nothing is wider than the terminal, no
id is cut, no column of a table is missing unsaid, and nothing ends with a traceback. The exit code is 1 where one
is not.
"""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.wire.commands import ReplyStatus
from controller.cli import COMMANDS
from tests.broker import Broker
from tests.controller.conftest import environment, put_agent
from tests.controller.responder import Asked, Responder, job, publish_job, reply, switched
from tests.controller.studies import study
from tests.controller.test_settings import RESULT as SETTINGS
from tests.system.process import ROOT

WIDTHS: Final = (60, 80, 120, 200)
BOX: Final = "the-box-behind-the-gym-00001"
HELP_WIDTH: Final = 80
JOB: Final = "quantize-1"
BIN: Final = Path(sys.executable).parent
OUT: Final = ROOT / "build" / "terminal"
ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\r")
WORLDS: Final[Mapping[str, Mapping[str, str]]] = {
    "utf8": {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"},
    "plain": {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TERM": "xterm-256color", "NO_COLOR": "1"},
    "ascii": {"LANG": "C", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "TERM": "vt100"},
}


@dataclass(frozen=True, slots=True)
class Shown:
    """One output."""

    name: str
    text: str
    width: int | None
    """None without a terminal."""
    ids: tuple[str, ...]
    table: bool

    @property
    def help(self) -> bool:
        """Whether it is a help text."""
        return self.name.startswith("help")

    def faults(self, whole: "Shown") -> Iterator[str]:
        """What is not as it has to be; ``whole`` is the same without a terminal."""
        if "Traceback" in self.text:
            yield "a traceback"
        # The examples of a help text are one line each: a narrow terminal breaks them itself.
        room = None if self.width is None else max(self.width, HELP_WIDTH) if self.help else self.width
        if room is not None and (wide := max(map(len, self.text.splitlines()), default=0)) > room:
            yield f"a line of {wide}"
        together = re.sub(r"\s+", "", self.text)
        yield from (f"{each} is cut" for each in self.ids if each not in together)
        if self.table and whole.text.strip():
            columns = re.split(r"\s{2,}", whole.text.splitlines()[0].strip())
            yield from (f"no column {each!r}, unsaid" for each in columns if each.replace(" ", "") not in together)


def in_terminal(command: Sequence[str], width: int, environ: Mapping[str, str]) -> str:
    """Run a command in a terminal of that width; what it prints, without escape sequences."""
    near, far = pty.openpty()
    fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    with subprocess.Popen(command, stdin=far, stdout=far, stderr=far, env=dict(environ)) as process:
        os.close(far)
        taken = b""
        while True:
            ready, _, _ = select.select([near], [], [], 60)
            try:
                data = os.read(near, 65_536) if ready else b""
            except OSError:  # the terminal has ended with its last process
                data = b""
            if not data:
                break
            taken += data
        process.wait(60)
    os.close(near)
    return ESCAPES.sub("", taken.decode("utf-8", "replace"))


def piped(command: Sequence[str], environ: Mapping[str, str]) -> str:
    """Run a command without a terminal; both its outputs."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environ, check=False
    )
    return done.stdout.decode("utf-8", "replace")


def answers(asked: Asked) -> list[object]:
    """What the box says."""
    if asked.name == "jobs":
        return [reply(BOX, asked, result={"jobs": [job(BOX).model_dump(mode="json", by_alias=True)]})]
    if asked.name in {"get", "set", "unset"}:
        return [reply(BOX, asked, result=SETTINGS)]
    if asked.name.startswith("set-"):
        return list(switched(BOX)(asked))
    return [reply(BOX, asked, ReplyStatus.SUCCEEDED)]


def commands(broker: str, folder: Path) -> Iterator[tuple[str, list[str], tuple[str, ...], bool]]:
    """Name, command line, ids it has to show, and whether it is a table under headings."""
    written = folder / "study.json"
    written.write_text(study().model_dump_json(by_alias=True), encoding="utf-8")
    controller = [str(BIN / "controller"), "--broker", broker, "--timeout", "3"]
    yield "list", [*controller, "list"], (BOX, "hall"), True
    yield "status", [*controller, "status", BOX], (BOX,), False
    yield "describe", [*controller, "describe", BOX], (BOX,), False
    yield "jobs", [*controller, "jobs", BOX], (BOX, JOB), True
    yield "job", [*controller, "job", BOX, JOB], (BOX, JOB), False
    yield "set-device", [*controller, "set-device", BOX, "CPU"], (BOX,), False
    yield "set-device-all", [*controller, "set-device", "*", "CPU"], (BOX,), True
    yield "inventory", [*controller, "inventory"], (BOX, "hall"), True
    yield "top", [*controller, "top", "--count", "1"], (BOX, "hall"), False
    yield "get", [*controller, "get", BOX], (BOX,), False
    yield "diff", [*controller, "diff", BOX], (BOX,), False
    yield "set", [*controller, "set", BOX, "camera.fps_max=15"], (BOX,), False
    yield "nobody", [*controller, "status", "nobody"], (BOX,), False
    yield "report", [*controller, "report", str(written)], (), False
    yield "models-list", [str(BIN / "models"), "list"], (), False
    for name in COMMANDS:
        yield f"help-{name}", [*controller, name, "--help"], (), False
    for program in ("agent", "controller", "models"):
        yield f"help-{program}", [str(BIN / program), "--help"], (), False


def main() -> int:
    """Capture everything, or what is named."""
    only = set(sys.argv[1:])
    OUT.mkdir(parents=True, exist_ok=True)
    wrong = outputs = 0
    with tempfile.TemporaryDirectory() as folder, Broker(Path(folder)) as broker:
        put_agent(broker.port, "hall", availability=b"offline")
        with Responder(broker.port, BOX, answers):  # type: ignore[arg-type]
            put_agent(broker.port, BOX)
            publish_job(broker.port, job(BOX), JOB)
            for name, command, ids, table in commands(f"127.0.0.1:{broker.port}", Path(folder)):
                if only and name not in only:
                    continue
                whole = Shown(name, piped(command, environment(**WORLDS["utf8"])), None, ids, table)
                found = [("pipe", whole)]
                for world in WORLDS if not name.startswith("help") else ("utf8",):
                    for width in WIDTHS:
                        text = in_terminal(command, width, environment(**WORLDS[world]))
                        found.append((f"{world}-{width}", Shown(name, text, width, ids, table)))
                for kind, shown in found:
                    (OUT / f"{name}-{kind}.txt").write_text(shown.text, encoding="utf-8")
                    outputs += 1
                    for fault in shown.faults(whole):
                        wrong += 1
                        sys.stdout.write(f"{name} {kind}: {fault}\n")
    sys.stdout.write(f"{outputs} outputs in {OUT}, {wrong} faults\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
