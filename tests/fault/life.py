"""From start to stop: what ends it in every state, and what it waits for when it starts."""

import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from agent.wire.commands import ReplyStatus
from agent.wire.messages import Status
from models.shelf.store import models_dir
from tests.broker import Broker
from tests.capture.mjpeg import MjpegCamera
from tests.fault.rig import TOPICS, Ear, driven, pause, seen_by, small
from tests.fault.table import Row, Stage
from tests.system.process import Process
from tests.systemd.service import UNIT
from tests.systemd.unit import Unit

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


def quantises(ear: Ear, *_: object) -> None:
    """Wait until a process of its own quantises."""
    ear.pose(0, 60)
    ear.send("quantize", frames=60, seconds=60)
    ear.after(0, lambda seen: b'"step":"reading frames' in seen.payload, 120)


def stops_already(ear: Ear, process: Process, *_: object) -> None:
    """Ask for it once before."""
    ear.pose(0, 60)
    process.signal(signal.SIGTERM)


def compiles(_ear: Ear, process: Process, *_: object) -> None:
    """Wait until it begins to compile what takes a second."""
    process.wait_log("camera.opened")
    assert not [entry for entry in process.log if entry["event"] == "engine.ready"], "it is done compiling"


def dies_thrice(folder: Path, given: dict[str, str]) -> None:
    """Kill it three times in what was asked for; the next start falls back."""
    with Broker(folder) as broker, Ear(broker.port) as ear:
        for start in range(3):
            with driven(broker.port, **given) as process:
                ear.pose(time.perf_counter(), 60)
                if start == 0:
                    assert ear.ask("set-device", device="SIMCPU").status is ReplyStatus.SUCCEEDED
                process.signal(signal.SIGKILL)
                process.end(10)


def states(camera: MjpegCamera) -> dict[str, tuple[State, dict[str, str]]]:
    """How each state is reached, and what the agent is given for it."""
    slow = {"EDGEPOSE_SWITCH__MEASURE_S": "10"}
    real = {"EDGEPOSE_PATHS__MODELS": str(models_dir()), "EDGEPOSE_MODEL__NAME": "movenet-multipose"}
    cold = real | {"EDGEPOSE_MODEL__INPUT__LONG_SIDE": "1024", "EDGEPOSE_INFERENCE__CACHE": "false"}
    people = real | {
        "EDGEPOSE_CAMERA__SOURCE": "clip:vtest",
        "EDGEPOSE_CAMERA__PACE": "fast",
        "EDGEPOSE_CAMERA__LOSSLESS": "true",
        "EDGEPOSE_MODEL__INPUT__LONG_SIDE": "384",
        "EDGEPOSE_INFERENCE__THREADS": "1",
    }

    def loses_camera(ear: Ear, process: Process, broker: Broker, stack: ExitStack) -> None:
        ear.pose(0, 60)
        camera.refuse()
        stack.callback(camera.listen)
        sees(Status.CAMERA_LOST)(ear, process, broker, stack)

    return {
        "starting": (sees(Status.STARTING), {}),
        "compiling": (compiles, cold),
        "running": (flows, {}),
        "paused": (asks("pause", Status.PAUSED), {}),
        "switching": (asks("set-device", Status.SWITCHING, device="SIMCPU"), slow),
        "measuring": (measures, slow),
        "benchmarking": (asks("benchmark", Status.BENCHMARKING), {}),
        "quantising": (quantises, people),
        "camera lost": (loses_camera, seen_by(camera)),
        "broker lost": (broker_lost, {}),
        "degraded": (sees(Status.DEGRADED), {}),
        "stopping": (stops_already, {}),
    }


def stops(stage: Stage) -> float:
    """The longest time from SIGTERM to exit code 0, over every state."""
    folder, given = small(stage)
    worst = 0.0
    with MjpegCamera(0.1) as camera:
        for name, (reach, more) in states(camera).items():
            variables = given | more | {"EDGEPOSE_PATHS__STATE": str(folder / f"state-{name.replace(' ', '-')}")}
            if name == "degraded":
                dies_thrice(folder, variables)
            with Broker(folder) as broker, ExitStack() as stack:
                ear = stack.enter_context(Ear(broker.port))
                process = stack.enter_context(driven(broker.port, **variables))
                reach(ear, process, broker, stack)
                asked_s = time.perf_counter()
                process.signal(signal.SIGTERM)
                code = process.end(30)
                took_s = time.perf_counter() - asked_s
                assert code == 0, f"{name}: exit code {code}: {process.errors[-5:]}"
            worst = max(worst, took_s)
            stage.say(f"{name}: {took_s:.2f} s")
    return worst


@contextmanager
def service(port: int, variables: dict[str, str]) -> Iterator[list[int]]:
    """Start the agent again whenever it has ended, as systemd does; yields the exit codes so far."""
    codes: list[int] = []
    ending = threading.Event()
    restart_s = Unit.read(UNIT, "demo").seconds("RestartSec")

    def keep() -> None:
        while not ending.is_set():
            with driven(port, **variables) as process:
                while process.popen.poll() is None and not ending.is_set():
                    pause(0.05)
                if (code := process.popen.poll()) is not None:
                    codes.append(code)
            ending.wait(restart_s)

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


STOP = "tests/system/test_stop.py"
FAULTS = "tests/system/test_faults.py"
ROWS = (
    Row(
        "process.stop",
        "SIGTERM ends it with exit code 0: starting, compiling, running, paused, switching, measuring, benchmarking, "
        "quantising, camera lost, broker lost, degraded, stopping already",
        2.0,
        "s",
        stops,
        (
            f"{STOP}::test_while_it_runs",
            f"{STOP}::test_while_it_compiles",
            f"{STOP}::test_while_the_camera_is_lost",
            "tests/system/test_quantize_job.py::test_the_agent_ends_meanwhile",
        ),
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
)
