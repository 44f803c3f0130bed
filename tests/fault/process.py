"""The process: an exception at every seam, and an inference that does not return."""

import signal
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from tests.broker import Broker
from tests.commander import CLIENT
from tests.fault.rig import TOPICS, VARIABLES, Ear, driven, pause, small
from tests.fault.seams import SEAMS, Seam
from tests.fault.table import Row, Stage
from tests.system.process import Process
from tests.systemd.service import as_service

PROMISED_S: Final = 5.0


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
    """Wait until a command is answered and poses flow after it, or the process has ended as failed."""
    asked: list[str] = []
    answered_s = None
    while time.perf_counter() < fired_s + 4 * PROMISED_S:
        if (code := process.popen.poll()) is not None:
            ended_s = time.perf_counter()
            assert code != 0, "it ended as if nothing had been wrong"
            return ended_s - fired_s, f"exit code {code}"
        if len(asked) < (time.perf_counter() - fired_s) / 0.5:
            asked.append(ear.send("describe"))
        if answered_s is None:
            answered_s = answered(ear, asked)
        else:
            with suppress(AssertionError):
                return ear.pose(answered_s, 0.05).at_s - fired_s, "well"
        pause(0.02)
    deaf = "is deaf" if answered_s is None else "gives no poses"
    raise AssertionError(f"neither well nor gone, it {deaf}: {process.errors[-8:]}")


def answered(ear: Ear, asked: list[str]) -> float | None:
    """When the first of these was answered."""
    told = [seen for seen in list(ear.heard) if seen.topic == TOPICS.reply(CLIENT)]
    return next((seen.at_s for seen in told if any(command.encode() in seen.payload for command in asked)), None)


def hung(stage: Stage) -> float:
    """Seconds from the restart of an agent whose inference did not return to its first pose, in the shipped unit."""
    folder = stage.room()
    flag, log = folder / "now", folder / "log"
    with ExitStack() as stack:
        broker = stack.enter_context(Broker(folder))
        output = stack.enter_context(log.open("ab"))
        running = stack.enter_context(
            as_service(folder, broker.port, seam="inference", flag=flag, output=output, variables=VARIABLES)
        )
        ear = stack.enter_context(Ear(broker.port))
        ear.pose(0, 120)
        hung_s = time.perf_counter()
        flag.touch()
        watchdog = running.wait("watchdog")
        ended = running.wait(f"exit {-signal.SIGABRT}$", after=watchdog)
        restart = running.wait("start ", after=ended)
        moments = [moment for moment, _event in running.events]
        restarted_s = moments[restart - 1]
        took_s = ear.pose(restarted_s, 60).at_s - restarted_s
    assert "most recent call first" in log.read_text(), "the log does not say where each thread stood"
    stage.say(
        f"ended by the watchdog after {moments[watchdog - 1] - hung_s:.1f} s, gone {moments[ended - 1] - hung_s:.1f} s "
        f"and started again {restarted_s - hung_s:.1f} s after it hung"
    )
    return took_s


FAULTS = "tests/system/test_faults.py"
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
        "process.hung",
        "An inference that does not return is ended by the watchdog; from the restart to the first pose it takes",
        10.0,
        "s",
        hung,
        ("tests/systemd/test_service.py::test_what_hangs_is_ended_and_poses_come_back",),
    ),
)
