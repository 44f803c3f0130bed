"""The process: exceptions at every seam, stops in every state, disks, clocks, and the order in which things come."""

import itertools
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from agent.wire.commands import ReplyStatus
from agent.wire.messages import Event, Status
from models.store import Store, models_dir
from tests import broken_networks
from tests.broker import Broker
from tests.capture.mjpeg import MjpegCamera
from tests.capture.pictures import write_folder
from tests.fault.rig import TOPICS, Ear, driven, pause, seen_by
from tests.fault.seams import SEAMS, Seam
from tests.fault.table import Row, Stage
from tests.system.process import Process
from tests.system.small import variables

PROMISED_S: Final = 5.0
DAY_S: Final = 86_400.0
RESTART_S: Final = 5.0
"""RestartSec of the unit."""


def small(stage: Stage, **more: str) -> tuple[Path, dict[str, str]]:
    """A folder, and the environment of an agent on a tiny network: it starts in a second."""
    folder = stage.room()
    broken_networks.sound(folder / "networks")
    pictures = write_folder(folder / "pictures", 20)
    given = variables(folder / "networks", pictures, folder) | {"EDGEPOSE_CAMERA__LOSSLESS": "false"}
    return folder, given | more


def seams(stage: Stage) -> float:
    """The longest time from an exception at a seam to an agent that works again, or has ended as failed."""
    folder, given = small(stage)
    worst, wrong = 0.0, []
    with Broker(folder) as broker:
        for name, seam in SEAMS.items():
            try:
                took_s, how = injected(broker, folder, given, name, seam)
            except AssertionError as error:
                wrong.append(f"{name}: {error}")
                stage.say(f"NOT KEPT {wrong[-1][:300]}")
                continue
            worst = max(worst, took_s)
            stage.say(f"{name}: {how} after {took_s:.2f} s")
    assert not wrong, "; ".join(wrong)
    return worst


def injected(broker: Broker, folder: Path, given: dict[str, str], name: str, seam: Seam) -> tuple[float, str]:
    """Let one exception loose; how long it took to be well again or gone, and which of them."""
    own = folder / f"seam-{name}"
    own.mkdir()
    armed, fired = own / "armed", own / "fired"
    armed = own / "fault.arm"
    fired = armed.with_suffix(".fired")
    if seam.at_start:
        armed.touch()
    faulty = given | {
        "FAULT_SEAM": seam.place,
        "FAULT_ARM": str(armed),
        "EDGEPOSE_PATHS__STATE": str(own / "state"),
        "EDGEPOSE_METRICS__WINDOW_S": "0.5",
    }
    with Ear(broker.port) as ear, driven(broker.port, **faulty) as process:
        if not seam.at_start:
            ear.pose(time.perf_counter(), 60)
            armed.touch()
            if seam.send:
                command, _, device = seam.send.partition(" ")
                ear.send(command, **({"device": device} if device else {}))
        fired_s = when(fired, process)
        return well_or_gone(ear, process, fired_s)


def when(fired: Path, process: Process) -> float:
    """The moment the exception was raised."""
    for _ in range(1500):
        with suppress(FileNotFoundError, ValueError):
            return float(fired.read_text(encoding="ascii"))
        pause(0.02)
    raise AssertionError(f"the seam was never passed: {process.errors[-5:]}")


def well_or_gone(ear: Ear, process: Process, fired_s: float) -> tuple[float, str]:
    """Wait until poses flow and commands are answered, or the process has ended as failed."""
    code, ended_s = None, 0.0
    asked: list[str] = []
    poses_s = None
    while time.monotonic() < fired_s + 4 * PROMISED_S:
        if (code := process.popen.poll()) is not None:
            ended_s = time.monotonic()
            assert code != 0, "it ended as if nothing had been wrong"
            return ended_s - fired_s, f"exit code {code}"
        if len(asked) < (time.monotonic() - fired_s) / 0.5:
            asked.append(ear.send("describe"))
        if poses_s is None:
            with suppress(AssertionError):
                poses_s = ear.pose(fired_s, 0.05).at_s
        elif answered(ear, asked):
            return time.monotonic() - fired_s, "well"
        pause(0.02)
    raise AssertionError(f"neither well nor gone; poses {poses_s is not None}, answers none: {process.errors[-8:]}")


def answered(ear: Ear, asked: list[str]) -> bool:
    """Whether one of these has been answered."""
    told = [seen.payload for seen in list(ear.heard) if seen.topic == TOPICS.reply("commander")]
    return any(command.encode() in payload for command in asked for payload in told)


State = Callable[[Ear, Process, Broker, ExitStack], object]


def sees(status: Status) -> State:
    """Wait for a status."""
    return lambda ear, *_: ear.after(
        0, lambda seen: seen.topic == TOPICS.state and f'"status":"{status.value}"'.encode() in seen.payload, 60
    )


def asks(command: str, status: Status, **args: Any) -> State:
    """Ask for something once it runs, and wait for a status."""

    def ask(ear: Ear, process: Process, broker: Broker, stack: ExitStack) -> None:
        ear.pose(0, 60)
        ear.send(command, **args)
        sees(status)(ear, process, broker, stack)

    return ask


def flows(ear: Ear, *_: object) -> None:
    """Wait for poses."""
    ear.pose(0, 60)


def measures(ear: Ear, process: Process, *_: object) -> None:
    """Wait until a switch has swapped and measures its new engine."""
    ear.pose(0, 60)
    ear.send("set-device", device="SIMCPU")
    ear.after(0, lambda seen: seen.topic == TOPICS.keypoints and b'"engine":2' in seen.payload, 60)


def broker_lost(ear: Ear, process: Process, broker: Broker, _stack: ExitStack) -> None:
    """Kill the broker."""
    ear.pose(0, 60)
    broker.kill()
    process.wait_log("broker.lost")


def stops(stage: Stage) -> float:
    """The longest time from SIGTERM to exit code 0, over every state."""
    folder, given = small(stage)
    store = Store(models_dir())
    cold = {
        "EDGEPOSE_PATHS__MODELS": str(store.folder),
        "EDGEPOSE_MODEL__NAME": "movenet-multipose",
        "EDGEPOSE_MODEL__INPUT__LONG_SIDE": "1024",
        "EDGEPOSE_INFERENCE__CACHE": "false",
    }
    slow = {"EDGEPOSE_SWITCH__MEASURE_S": "10"}
    worst = 0.0
    with MjpegCamera(0.1) as camera:
        live = seen_by(camera) | {"EDGEPOSE_CAMERA__LOSSLESS": "false"}

        def loses_camera(ear: Ear, process: Process, broker: Broker, stack: ExitStack) -> None:
            ear.pose(0, 60)
            camera.refuse()
            stack.callback(camera.listen)
            sees(Status.CAMERA_LOST)(ear, process, broker, stack)

        states: dict[str, tuple[State, dict[str, str]]] = {
            "starting": (sees(Status.STARTING), {}),
            "compiling": (lambda _, process, *__: process.wait_log("camera.opened"), cold),
            "running": (flows, {}),
            "paused": (asks("pause", Status.PAUSED), {}),
            "switching": (asks("set-device", Status.SWITCHING, device="SIMCPU"), slow),
            "measuring": (measures, slow),
            "benchmarking": (asks("benchmark", Status.BENCHMARKING), {}),
            "camera lost": (loses_camera, live),
            "broker lost": (broker_lost, {}),
        }
        for name, (reach, more) in states.items():
            own = {"EDGEPOSE_PATHS__STATE": str(folder / f"state-{name.replace(' ', '-')}")}
            with Broker(folder) as broker, ExitStack() as stack:
                ear = stack.enter_context(Ear(broker.port))
                process = stack.enter_context(driven(broker.port, **given | more | own))
                reach(ear, process, broker, stack)
                asked_s = time.monotonic()
                process.signal(signal.SIGTERM)
                code = process.end(30)
                took_s = time.monotonic() - asked_s
                assert code == 0, f"{name}: exit code {code}: {process.errors[-5:]}"
            worst = max(worst, took_s)
            stage.say(f"{name}: {took_s:.2f} s")
    return worst


@contextmanager
def service(port: int, variables_: dict[str, str]) -> Iterator[list[int]]:
    """Start the agent again whenever it has ended, as systemd does; yields the exit codes so far."""
    codes: list[int] = []
    ending = threading.Event()
    current: list[Process] = []

    def keep() -> None:
        while not ending.is_set():
            with driven(port, **variables_) as process:
                current[:] = [process]
                while process.popen.poll() is None and not ending.is_set():
                    pause(0.05)
                if process.popen.poll() is not None:
                    codes.append(process.popen.returncode)
            ending.wait(RESTART_S)

    thread = threading.Thread(target=keep, daemon=True)
    thread.start()
    try:
        yield codes
    finally:
        ending.set()
        thread.join(30)


def orders(stage: Stage) -> float:
    """Seconds from the last of broker, camera and network to poses: the longest of all six orders."""
    worst = 0.0
    for order in itertools.permutations(("broker", "camera", "network")):
        folder, given = small(stage)
        hidden = folder / "hidden"
        (folder / "networks").rename(hidden)
        with MjpegCamera(0.1) as camera, Broker(folder, start=False) as broker, ExitStack() as stack:
            camera.refuse()
            come = {
                "broker": broker.start,
                "camera": camera.listen,
                "network": lambda hidden=hidden, folder=folder: hidden.rename(folder / "networks"),  # type: ignore[misc]
            }
            codes = stack.enter_context(service(broker.port, given | seen_by(camera)))
            for name in order:
                pause(3)
                came_s = time.perf_counter()
                come[name]()
            ear = stack.enter_context(Ear(broker.port))
            took_s = ear.pose(came_s, 60).at_s - came_s
        worst = max(worst, took_s)
        stage.say(f"{', '.join(order)}: {took_s:.1f} s, exit codes before {codes}")
    return worst


def changed(ear: Ear, device: str) -> None:
    """Change the device, see that it is done, and that poses flow."""
    reply = ear.ask("set-device", device=device)
    assert reply.status is ReplyStatus.SUCCEEDED, f"it is told {reply}"
    ear.pose(time.perf_counter())


def told(ear: Ear, code: str) -> bool:
    """Whether an event of this code has come; waits a little."""
    with suppress(AssertionError):
        ear.event(code, 0, 10)
        return True
    return False


def full_disk(stage: Stage) -> float:
    """Promises broken by an agent whose state folder is on a full file system."""
    folder, given = small(stage)
    with full_file_system() as disk:
        given |= {"EDGEPOSE_PATHS__STATE": str(disk / "state"), "EDGEPOSE_PATHS__CACHE": str(disk / "cache")}
        return unsaved(folder, given)


def read_only(stage: Stage) -> float:
    """The same with a folder nobody may write to."""
    folder, given = small(stage)
    with full_file_system(read_only=True) as disk:
        given |= {"EDGEPOSE_PATHS__STATE": str(disk / "state"), "EDGEPOSE_PATHS__CACHE": str(disk / "cache")}
        return unsaved(folder, given)


def unsaved(folder: Path, given: dict[str, str]) -> float:
    """Count what an agent does not do that cannot write: publish, change when asked, and say so."""
    with Broker(folder) as broker, Ear(broker.port) as ear, driven(broker.port, **given) as process:
        ear.pose(0, 60)
        changed(ear, "SIMCPU")
        broken = int(not told(ear, "state.not_saved")) + int(process.popen.poll() is not None)
        process.signal(signal.SIGTERM)
        return float(broken + (process.end(10) != 0))


@contextmanager
def full_file_system(*, read_only: bool = False) -> Iterator[Path]:
    """A file system of 64 KiB with no byte left, or one that is mounted read-only. Needs root."""
    assert os.geteuid() == 0, "only root can mount a file system: run it as root, in a container for example"
    with tempfile.TemporaryDirectory(prefix="edgepose-disk-") as folder:
        disk = Path(folder)
        option = "size=64k,ro" if read_only else "size=64k"
        subprocess.run(["mount", "-t", "tmpfs", "-o", option, "tmpfs", folder], check=True)
        try:
            if not read_only:
                (disk / "state").mkdir()
                with suppress(OSError), (disk / "filler").open("wb") as filler:
                    while True:
                        filler.write(b"." * 4096)
                        filler.flush()
            yield disk
        finally:
            subprocess.run(["umount", folder], check=True)


def corrupt(stage: Stage) -> float:
    """Promises broken by an agent whose state file is damaged: it runs, says so, and keeps the file aside."""
    folder, given = small(stage)
    state = folder / "state" / "demo.json"
    broken = 0
    with Broker(folder) as broker:
        with Ear(broker.port) as ear, driven(broker.port, **given) as process:
            ear.pose(0, 60)
            changed(ear, "SIMCPU")
            process.signal(signal.SIGTERM)
            process.end(10)
        whole = state.read_bytes()
        for damage in (whole[: len(whole) // 2], b"", b"\x00" * len(whole), whole.replace(b"SIMCPU", b"SIMCPX")):
            state.write_bytes(damage)
            with Ear(broker.port) as ear, driven(broker.port, **given) as process:
                since_s = time.perf_counter()
                ear.pose(since_s, 60)
                broken += not told(ear, "state.damaged")
                changed(ear, "SIMCPU")
                process.signal(signal.SIGTERM)
                broken += process.end(10) != 0
            broken += not list(state.parent.glob("demo.json.damaged-*"))
    return float(broken)


def clock(stage: Stage) -> float:
    """Seconds until a clock that jumps by days is told; poses flow and commands work meanwhile."""
    folder, given = small(stage)
    ahead = folder / "ahead"
    ahead.write_text("0")
    worst = 0.0
    with (
        Broker(folder) as broker,
        Ear(broker.port) as ear,
        driven(broker.port, **given, FAULT_CLOCK=str(ahead)) as process,
    ):
        ear.pose(0, 60)
        for jump_s, device in ((DAY_S, "SIMCPU"), (-DAY_S, "CPU"), (0, "SIMCPU")):
            jumped_s = time.perf_counter()
            aside = folder / "ahead.new"
            aside.write_text(str(jump_s))
            aside.replace(ahead)
            heard = ear.event("clock.jumped", jumped_s, 15)
            worst = max(worst, heard.at_s - jumped_s)
            seqs = len([seen for seen in ear.since(jumped_s) if seen.topic == TOPICS.keypoints])
            reply = ear.ask("set-device", device=device)
            assert reply.status is ReplyStatus.SUCCEEDED, f"it is told {reply}"
            ear.after(time.perf_counter(), lambda seen: seen.topic == TOPICS.keypoints, 5)
            stage.say(f"{Event.decode(heard.payload).facts} told after {worst:.1f} s, {seqs} keypoints meanwhile")
        process.signal(signal.SIGTERM)
        assert process.end(10) == 0
    return worst


STOP = "tests/system/test_stop.py"
FAULTS = "tests/system/test_faults.py"
FILE = "tests/control/test_journal_file.py"
SHORT = "tests/fault/test_process.py"
ROWS = (
    Row(
        "process.seams",
        f"An exception at any of {len(SEAMS)} seams ends in an agent that works again, or in a non-zero exit code",
        PROMISED_S,
        "s",
        seams,
        (f"{FAULTS}::test_a_defect_ends_the_process", f"{SHORT}::test_every_seam_is_there"),
    ),
    Row(
        "process.stop",
        "SIGTERM ends it with exit code 0: starting, compiling, running, paused, switching, measuring, benchmarking, "
        "camera lost, broker lost",
        2.0,
        "s",
        stops,
        (f"{STOP}::test_while_it_runs", f"{STOP}::test_while_it_compiles", f"{STOP}::test_while_the_camera_is_lost"),
    ),
    Row(
        "process.orders",
        "Broker, camera and network come in any of the six orders: poses flow once the last is there",
        15.0,
        "s",
        orders,
        (
            "tests/system/test_outage.py::test_a_broker_that_comes_late_and_dies",
            "tests/system/test_outage.py::test_a_camera_that_comes_late",
            f"{FAULTS}::test_a_network_that_is_not_there",
        ),
    ),
    Row(
        "process.disk-full",
        "On a full disk it runs, changes when asked, says that it cannot remember, and ends with 0; what it fails at",
        0.0,
        "things",
        full_disk,
        (f"{FILE}::test_a_full_disk", f"{SHORT}::test_a_disk_that_takes_nothing"),
    ),
    Row(
        "process.read-only",
        "The same with a state folder that may only be read",
        0.0,
        "things",
        read_only,
        (f"{FILE}::test_a_folder_that_cannot_be_written",),
    ),
    Row(
        "process.corrupt",
        "A state file that is cut, empty, zeroed or changed is told and kept aside, and the agent runs without it",
        0.0,
        "things",
        corrupt,
        (f"{FILE}::test_flipped_bits", f"{SHORT}::test_a_damaged_state_file_is_told"),
    ),
    Row(
        "process.clock",
        "A clock that jumps by a day, forward or back, is told, with a metrics window of 1 s; poses flow on",
        2.0,
        "s",
        clock,
        (f"{SHORT}::test_a_clock_that_jumps_is_told",),
    ),
)
