"""The box it stands on: a disk that takes nothing, a state file that is damaged, a clock that is set."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from agent.wire.commands import ReplyStatus
from agent.wire.messages import Event
from tests.broker import Broker
from tests.fault.rig import TOPICS, Ear, driven, small
from tests.fault.table import Row, Stage

DAY_S: Final = 86_400.0


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
            broken += damage not in [kept.read_bytes() for kept in state.parent.glob("demo.json.damaged-*")]
            broken += state.read_bytes() == damage
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
            after = ear.after(heard.at_s, lambda seen: seen.topic == TOPICS.keypoints, 5).at_s - jumped_s
            reply = ear.ask("set-device", device=device)
            assert reply.status is ReplyStatus.SUCCEEDED, f"it is told {reply}"
            ear.after(time.perf_counter(), lambda seen: seen.topic == TOPICS.keypoints, 5)
            stage.say(
                f"{Event.decode(heard.payload).facts} told after {heard.at_s - jumped_s:.1f} s, keypoints {after:.1f} s"
            )
        process.signal(signal.SIGTERM)
        assert process.end(10) == 0
    return worst


FILE = "tests/control/test_journal_file.py"
SHORT = "tests/fault/test_process.py"
ROWS = (
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
