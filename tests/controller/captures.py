"""``make test-terminal``: what every command prints, at four widths, with and without a terminal, colour and UTF-8.

Each output is written below build/terminal, to be looked at, and held to this: nothing is wider than the terminal, no
id is cut, no word broken, no column of a table is missing unsaid, and nothing ends with a traceback. The exit code is 1
where one is not. ``test_captures.py`` holds that no command is forgotten here.
"""

import base64
import fcntl
import itertools
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from agent.cli import COMMANDS as AGENT
from agent.wire.commands import ErrorCode, Job, JobStatus, Reply, ReplyError, ReplyStatus
from agent.wire.topics import Topics
from controller.cli import COMMANDS as CONTROLLER
from models.cli import COMMANDS as MODELS
from tests import samples
from tests.broker import Broker, free_port, hang_up
from tests.controller.conftest import environment, put_agent
from tests.controller.responder import Asked, Responder, job, plan, publish_job, rejection, reply, switched
from tests.controller.studies import study
from tests.controller.test_look_into import CHECKED, FETCHED, LINES
from tests.controller.test_settings import RESULT as SETTINGS
from tests.controller.test_tune import tuning
from tests.models import quantizable
from tests.nursery import NURSERY, Child
from tests.record.test_replay import recording
from tests.system.process import DEMO, ROOT

WIDTHS: Final = (60, 80, 120, 200)
BOX: Final = "the-box-behind-the-gym-00001"
OTHER: Final = "the-box-behind-the-gym-00002"
"""It refuses whatever it is asked."""
GONE: Final = "the-box-that-was-in-the-old-gym"
ELSEWHERE: Final = "elsewhere"
"""The prefix of what is forgotten, so that no list shows it."""
HELP_WIDTH: Final = 80
JOB: Final = "quantize-1"
BIN: Final = Path(sys.executable).parent
OUT: Final = ROOT / "build" / "terminal"
ENDS_S: Final = 1.5
"""A job takes so long: bars are drawn meanwhile."""
PATIENCE_S: Final = 120
AGAIN_S: Final = 10
"""Ctrl-C is pressed again when nothing has come of it for so long."""
FRAME: Final = re.compile(r"(?:\r?(?:\x1b\[[0-9]*[AK])+)+|\r+(?!\n)")
"""What is drawn over: it stays in what was captured, a line below the other."""
ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\r")
ALONE: Final = re.compile(r"\s*(?:[^\s`]|`[^`]*`)+\s*")
ONE_OF_MANY: Final = re.compile(r"(?<![\w.,:-])1 (?!is\b|was\b|has\b|ms\b|fps\b)[a-z]+s\b")
WORD: Final = re.compile(r"(?<![\w/.-])[A-Za-z]{4,16}(?![\w/.-])")
WORLDS: Final[Mapping[str, Mapping[str, str]]] = {
    "utf8": {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"},
    "plain": {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TERM": "xterm-256color", "NO_COLOR": "1"},
    "ascii": {"LANG": "C", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "TERM": "vt100"},
}
PROGRAMS: Final = {"agent": AGENT, "controller": CONTROLLER, "models": MODELS}


@dataclass(frozen=True, slots=True)
class Capture:
    """One command line whose outputs are looked at."""

    name: str
    command: tuple[str, ...]
    """The program, the command, and what it is given."""
    ids: tuple[str, ...] = ()
    """What it has to show whole."""
    table: bool = False
    """Whether it is a table under headings."""
    until: str = ""
    """Ctrl-C is pressed when this pattern is shown; "" for what ends by itself."""
    moves: bool = False
    """Whether what it shows changes, so that no two of its outputs have the same words."""
    free: bool = False
    """Whether its lines are a machine's (a log, a document) and as long as they are."""
    asks: bool = False
    """Whether somebody has to sit there."""
    before: Callable[[], None] = lambda: None

    @property
    def of(self) -> str:
        """The command of the click tree that is run."""
        return " ".join(self.command[:2])

    @property
    def help(self) -> bool:
        """Whether it is a help text."""
        return self.command[-1] == "--help"

    def faults(self, text: str, width: int | None, whole: str) -> Iterator[str]:
        """What is not as it has to be; ``whole`` is the same without a terminal, whose ``width`` is None."""
        if "Traceback" in text:
            yield "a traceback"
        # The examples of a help text are one line each: a narrow terminal breaks them itself.
        room = None if width is None or self.free else max(width, HELP_WIDTH) if self.help else width
        if room is not None:
            # What cannot be broken is not: a path, and what is to be copied.
            lines = (line for line in text.splitlines() if not ALONE.fullmatch(line))
            yield from dict.fromkeys(f"a line of {len(line)}" for line in lines if len(line) > room)
        together = re.sub(r"\s+", "", text)
        yield from (f"{each} is cut" for each in self.ids if each not in together)
        if "…" in text:
            yield "something is cut"
        yield from (f"{each!r}" for each in dict.fromkeys(ONE_OF_MANY.findall(text)))
        if self.table and whole.strip() and not (self.moves and "not shown" in text):
            columns = re.split(r"\s{2,}", whole.splitlines()[0].strip())
            yield from (f"no column {each!r}, unsaid" for each in columns if each.replace(" ", "") not in together)
        if not (self.help or self.moves or "Not shown" in text):
            yield from (f"{each!r} is broken" for each in dict.fromkeys(WORD.findall(whole)) if each not in text)


def shown(capture: Capture, width: int | None, environ: Mapping[str, str]) -> str:
    """Run a command in a terminal of that width, or without one; what both its outputs say, without escape sequences.

    What is drawn over stays, below each other.
    """
    near, far = os.pipe() if width is None else pty.openpty()
    if width is not None:
        fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    capture.before()
    process: Child | subprocess.Popen[bytes]
    if environ["LC_ALL"] == "C" or capture.asks:  # which letters there are is asked when Python starts
        command, stdin = [str(BIN / capture.command[0]), *capture.command[1:]], subprocess.DEVNULL
        process = subprocess.Popen(command, stdin=far if width else stdin, stdout=far, stderr=far, env=dict(environ))
    else:
        process = NURSERY.bear(capture.command, dict(environ), far, far)
    os.close(far)
    taken, pressed, ready, again = b"", False, [near], round(PATIENCE_S / AGAIN_S)
    try:
        while True:
            ready, _, _ = select.select([near], [], [], AGAIN_S if pressed else PATIENCE_S)
            if pressed and not ready and (again := again - 1):  # as a person would: it may have come just before a wait
                process.send_signal(signal.SIGINT)
                continue
            try:
                data = os.read(near, 65_536) if ready else b""
            except OSError:  # the terminal has ended with its last process
                data = b""
            if not data:
                break
            taken += data
            said = ESCAPES.sub("", taken.decode("utf-8", "replace"))
            if capture.until and not pressed and re.search(capture.until, said):
                pressed = True
                process.send_signal(signal.SIGINT)
    finally:
        if not ready:
            process.kill()
            taken += b"\nTraceback: it did not end\n"
        process.wait(PATIENCE_S)
        os.close(near)
    return ESCAPES.sub("", FRAME.sub("\n", taken.decode("utf-8", "replace")))


class World:
    """A broker with boxes on it that answer, and whose jobs end."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._numbers = itertools.count(1)

    def answers(self, asked: Asked) -> list[Reply]:
        """What the box says."""
        made: dict[str, Any] = {
            "jobs": {"jobs": [job(BOX).model_dump(mode="json", by_alias=True)]},
            "plan-affinity": plan().model_dump(mode="json"),
            "snapshot": {"jpeg": base64.b64encode(b"\xff\xd8\xff\xe0").decode(), "width": 768, "height": 576, "seq": 4},
            "check": CHECKED,
            "logs": {"lines": LINES},
        } | dict.fromkeys(("get", "set", "unset"), SETTINGS)
        if asked.name in {"quantize", "fetch", "benchmark", "sweep", "tune"}:
            return [reply(BOX, asked, ReplyStatus.ACCEPTED, result={"job": self._begin(asked)})]
        if asked.name.startswith("set-") and asked.name != "set-zones":
            return list(switched(BOX)(asked))  # type: ignore[arg-type]
        return [reply(BOX, asked, result=made.get(asked.name))]

    def _begin(self, asked: Asked) -> str:
        """Publish a job of its own for whoever asks, and a while later its end."""
        name = f"{asked.name}-{next(self._numbers)}"
        step = {"quantize": "recording 120 of 300 frames", "fetch": "rtmo-s.zip from models.example"}.get(
            asked.name, "MULTI:SIMCPU,CPU INT8 throughput, run 3 of 20"
        )
        now = samples.NOW + timedelta(minutes=4)
        begun = job(BOX, id=name, command=asked.name, step=step, progress=0.42, sent_at=now)
        publish_job(self._port, begun, name)
        if asked.body["args"].get("clip") != "endless":
            threading.Timer(ENDS_S, publish_job, (self._port, self._end(begun, asked.body["args"]), name)).start()
        return name

    def _end(self, begun: Job, args: Mapping[str, object]) -> Job:
        if args.get("frames") == 61:
            why = ReplyError(
                code=ErrorCode.ACCURACY_FAILED, message="9 of 127 people missed", hint="record more people"
            )
            return begun.model_copy(update={"status": JobStatus.FAILED, "error": why, "finished_at": begun.sent_at})
        results: dict[str, Any] = {
            "quantize": {"missed": 3, "people": 127, "precision": "INT8", "installed": True},
            "fetch": FETCHED,
            "tune": tuning(device_id=BOX).model_dump(mode="json", by_alias=True),
        }
        result = results.get(begun.command) or study(device_id=BOX).model_dump(mode="json", by_alias=True)
        done = {"status": JobStatus.SUCCEEDED, "step": "done", "progress": 1.0, "finished_at": begun.sent_at}
        return begun.model_copy(update={**done, "result": result})


@contextmanager
def life(port: int) -> Iterator[None]:
    """Frames and events of the box, four a second."""
    client, over, topics = Client(CallbackAPIVersion.VERSION2), threading.Event(), Topics(BOX)
    client.connect("127.0.0.1", port)
    client.loop_start()

    def run() -> None:
        while not over.wait(0.25):
            client.publish(topics.keypoints, samples.keypoints(BOX).encode())
            client.publish(topics.event, samples.event(BOX).encode(), 1)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        hang_up(client)


def captures(port: int, folder: Path) -> Iterator[Capture]:
    """Every command line that is captured; :func:`prepare` makes what they read."""
    yield from of_controller(port, folder)
    yield from of_agent(port, folder)
    yield from of_models(folder)
    for program, names in PROGRAMS.items():
        yield Capture(f"help-{program}", (program, "--help"))
        for name in names:
            yield Capture(f"help-{program}-{name}", (program, name, "--help"))


def of_controller(port: int, folder: Path) -> Iterator[Capture]:
    """Those that look, change, measure, record and retire."""
    broker = ("--broker", f"127.0.0.1:{port}", "--timeout", "3")

    def make(name: str, *words: str, **more: Any) -> Capture:
        return Capture(name, ("controller", *words, *broker), **{"ids": (BOX,), **more})

    yield make("list", "list", ids=(BOX, "hall"), table=True)
    yield make("top", "top", "--count", "1", ids=(BOX, "hall"), table=True, moves=True)
    yield make("inventory", "inventory", ids=(BOX, "hall"), table=True)
    yield make("status", "status", BOX, moves=True)
    yield make("status-offline", "status", "hall", ids=("hall",), moves=True)
    yield make("status-all", "status", BOX, "--all")
    yield make("status-nobody", "status", "nobody")
    yield make("describe", "describe", BOX)
    yield make("watch", "watch", BOX, "--seconds", "1", moves=True)
    yield make("watch-several", "watch", "*", "--seconds", "1", ids=(BOX, "hall"), table=True, moves=True)
    yield make("events", "events", BOX, "--count", "2")
    yield make("check", "check", BOX, ids=())
    yield make("check-several", "check", "*", ids=(BOX,))
    yield make("logs", "logs", BOX, ids=())
    yield make("logs-several", "logs", "*", "--lines", "2")
    listen = ("--listen", f"127.0.0.1:{free_port()}")
    yield make("dashboard", "dashboard", *listen, ids=(), until="http", moves=True)
    yield make("snapshot", "snapshot", BOX, "--out", str(folder / "hall.jpg"), "--force", ids=())
    for name, *words in (
        ("set-device", "CPU"),
        ("set-precision", "INT8"),
        ("set-model", "movenet-multipose"),
        ("set-input", "--long-side", "512"),
        ("set-hint", "throughput"),
        ("set-affinity", "--preset", "split"),
        ("plan-affinity", "--preset", "split"),
        ("set-zones", "--none"),
        ("set", "camera.fps_max=15"),
        ("get",),
        ("unset", "camera.fps_max"),
        ("diff",),
        ("restart",),
        ("pause",),
        ("resume",),
    ):
        yield make(name, name, BOX, *words)
    yield make("set-device-several", "set-device", "*", "CPU", table=True)
    yield make("get-several", "get", "*")
    yield make("refused", "set-device", OTHER, "CPU", ids=(OTHER,))
    state = ("--state", str(folder / "rollout.json"), "--yes", "--soak", "0", "--min-fps-ratio", "0")
    change = ("set-precision", "INT8")
    yield make("rollout-plan", "rollout", "the-*", *change, "--dry-run", ids=())
    yield make("rollout", "rollout", BOX, *change, *state, moves=True)
    yield make("rollout-stopped", "rollout", "the-*", *change, *state, ids=(OTHER,), moves=True)
    yield make("benchmark", "benchmark", BOX, moves=True)
    yield make("sweep", "sweep", BOX, moves=True)
    yield make("tune", "tune", BOX, moves=True)
    yield make("tune-left", "tune", BOX, "--clip", "endless", until="42 ?%", moves=True)
    yield make("quantize", "quantize", BOX, moves=True)
    yield make("quantize-failed", "quantize", BOX, "--frames", "61", moves=True)
    yield make("fetch", "fetch", BOX, "rtmo-s", moves=True)
    yield make("jobs", "jobs", BOX, ids=(BOX, JOB), table=True)
    yield make("job", "job", BOX, JOB, ids=(BOX, JOB))
    yield make("job-left", "job", BOX, JOB, "--follow", ids=(BOX, JOB), until="25 ?%", moves=True)
    yield make("cancel", "cancel", BOX, JOB)
    written = str(folder / "study.json")
    yield Capture("report", ("controller", "report", written))
    yield Capture("report-several", ("controller", "report", written, str(folder / "other.json")), table=True)
    yield make("record", "record", BOX, "--out", str(folder / "poses.jsonl"), "--force", "--count", "4", moves=True)
    yield make("replay", "replay", str(folder / "recording.jsonl"), "--speed", "0", "--as", "replayed", ids=())
    yield make("forget", "forget", GONE, "--yes", "--prefix", ELSEWHERE, ids=(GONE,), before=partial(put_back, port))


def put_back(port: int) -> None:
    """Leave on the broker what `forget` clears."""
    put_agent(port, GONE, availability=b"offline", prefix=ELSEWHERE)


def of_agent(port: int, folder: Path) -> Iterator[Capture]:
    """Those of the box; what they log is a machine's to read."""
    good, bad = str(folder / "good.toml"), str(folder / "bad.toml")
    yield Capture("agent-cameras", ("agent", "cameras"))
    yield Capture("agent-check-config", ("agent", "check-config", good))
    yield Capture("agent-check-config-faults", ("agent", "check-config", bad))
    yield Capture("agent-doctor", ("agent", "doctor", "--config", good), moves=True)
    yield Capture("agent-demo", ("agent", "demo", "--port", str(free_port())), until="persons", moves=True)
    yield Capture("agent-forget", ("agent", "forget", "--config", good), (GONE,), before=partial(put_back, port))
    out = ("--out", str(folder / "a.jsonl"), "--force")
    yield Capture("agent-record", ("agent", "record", "--config", good, "--frames", "5", *out), free=True, moves=True)
    yield Capture("agent-run", ("agent", "run", "--config", good), until="engine.ready", free=True, moves=True)
    yield Capture("agent-schema", ("agent", "schema"), free=True)


def of_models(folder: Path) -> Iterator[Capture]:
    """Those around networks; the small one is measured and quantised in seconds."""
    small = ("--models-dir", str(folder / "store"))
    clip, name = ("--clip", str(folder / "pictures"), *small), quantizable.NAME
    truth = ("--images", str(folder / "pictures"), "--annotations", str(folder / "truth.json"), *small)
    yield Capture("models-list", ("models", "list"), table=True)
    yield Capture("models-inspect", ("models", "inspect", "movenet-multipose"))
    yield Capture("models-fetch", ("models", "fetch", "movenet-multipose", "vtest"))
    yield Capture("models-remove", ("models", "remove", name, *small), until="y/N", moves=True, asks=True)
    yield Capture(
        "models-add", ("models", "add", str(folder / f"{name}.toml"), "--from", str(folder / "export"), *small)
    )
    yield Capture("models-compare", ("models", "compare", name, name, *clip))
    yield Capture("models-evaluate", ("models", "evaluate", name, *truth))
    yield Capture("models-quantize", ("models", "quantize", name, "--force", *clip), moves=True)


def prepare(port: int, folder: Path) -> None:
    """Write the files that are read."""
    (folder / "study.json").write_text(study().model_dump_json(by_alias=True), encoding="utf-8")
    (folder / "other.json").write_text(study(device_id=OTHER).model_dump_json(by_alias=True), encoding="utf-8")
    recording(folder / "recording.jsonl")
    text = DEMO.read_text(encoding="utf-8").replace("port = 1883", f'port = {port}\nprefix = "{ELSEWHERE}"')
    (folder / "good.toml").write_text(text.replace('"demo"', f'"{GONE}"'), encoding="utf-8")
    faults = 'device_id = "no/name"\n[camera]\nfsp = 5\n[inference]\ndevice = "GPUU"\n[model.input]\nlong_side = 500\n'
    (folder / "bad.toml").write_text(faults, encoding="utf-8")
    quantizable.install(folder)
    (folder / "pictures").mkdir()
    pictures = []
    for frame in quantizable.frames(36):
        name = f"{frame.seq:03}.png"
        cv2.imwrite(str(folder / "pictures" / name), frame.image)
        pictures.append({"id": frame.seq, "file_name": name, "width": quantizable.SIDE, "height": quantizable.SIDE})
    person = {"id": 1, "image_id": 0, "category_id": 1, "iscrowd": 0, "area": 900.0, "bbox": [5, 5, 30, 30]}
    truth = {
        "images": pictures[:2],
        "annotations": [{**person, "num_keypoints": 17, "keypoints": [20, 20, 2] * 17}],
        "categories": [{"id": 1, "name": "person"}],
    }
    (folder / "truth.json").write_text(json.dumps(truth), encoding="utf-8")


def look_at(capture: Capture) -> tuple[int, list[str]]:
    """Write the outputs of a command, of those of a page of help one for each width; how many, and their faults."""
    whole = shown(capture, None, environment(**WORLDS["utf8"]))
    found: list[tuple[str, int | None, str]] = [("pipe", None, whole)]
    for world, width in itertools.product(WORLDS if not capture.help else ("utf8",), WIDTHS):
        found += [(f"{world}-{width}", width, shown(capture, width, environment(**WORLDS[world])))]
    faults = []
    for kind, columns, text in found:
        (OUT / f"{capture.name}-{kind}.txt").write_text(text, encoding="utf-8")
        faults += [f"{capture.name} {kind}: {fault}" for fault in capture.faults(text, columns, whole)]
    return len(found), faults


def main() -> int:
    """Capture everything, or what is named: a command, or all whose names begin so, as `agent` does."""
    only = tuple(sys.argv[1:])
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where this runs in the background
    OUT.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(Broker(folder))
        port = broker.port
        put_agent(port, "hall", availability=b"offline")
        stack.enter_context(Responder(port, BOX, World(port).answers))
        stack.enter_context(Responder(port, OTHER, lambda asked: [rejection(OTHER, asked)]))
        for box in (BOX, OTHER):
            put_agent(port, box)
        publish_job(port, job(BOX), JOB)
        prepare(port, folder)
        stack.enter_context(life(port))
        chosen = [each for each in captures(port, folder) if not only or each.name.startswith(only)]
        outputs = wrong = 0
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for count, faults in pool.map(look_at, chosen):
                outputs += count
                wrong += len(faults)
                sys.stdout.writelines(f"{fault}\n" for fault in faults)
                sys.stdout.flush()
    sys.stdout.write(f"{outputs} outputs in {OUT}, {wrong} faults\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
