"""Promises about noticing what the machine does besides."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.benchmark.load import OTHERS_MAX, LoadMeter, machine_seconds, others_percent
from tests.study.runs import QUIET

SECONDS = st.floats(0, 1e6)
WORK = "print('ready', flush=True)\nwhile True: pass"


@pytest.fixture
def neighbour() -> Iterator[psutil.Process]:
    """Another process that takes a core, as far as it gets one."""
    with subprocess.Popen([sys.executable, "-c", WORK], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield psutil.Process(process.pid)
        process.kill()


def test_work_of_others_is_told(neighbour: psutil.Process) -> None:
    """Time that another process got is part of what others took."""
    meter = LoadMeter()
    before = neighbour.cpu_times().user
    began = machine_seconds(psutil.cpu_times()._asdict())[1]
    while (got := neighbour.cpu_times().user - before) < 0.5:
        pass
    load = meter.stop()
    elapsed = machine_seconds(psutil.cpu_times()._asdict())[1] - began
    assert load.others_percent is not None
    assert load.others_percent >= 100 * (got - 0.1) / (elapsed + 0.1)


def test_own_work_is_not_that_of_others() -> None:
    """What this process took is its own: a benchmark does not disturb itself."""
    assert others_percent(busy_s=20.0, total_s=20.0, own_s=19.0) == pytest.approx(5)
    meter = LoadMeter()
    began = os.times().user
    while os.times().user - began < 0.2:
        pass
    assert meter.stop().cpu_percent > 0


@given(SECONDS, SECONDS, SECONDS)
def test_shares_are_never_negative(busy: float, idle: float, own: float) -> None:
    """Ticks that do not add up, because kernel and process are read one after the other, give no nonsense."""
    share = others_percent(busy, busy + idle, own)
    assert share is None if busy + idle == 0 else share is not None and 0 <= share <= 100


def test_stolen_time_was_busy() -> None:
    """What a hypervisor gave to somebody else counts as work of others, waiting for a disk does not."""
    times = {"user": 10.0, "nice": 1.0, "system": 2.0, "idle": 50.0, "iowait": 7.0, "irq": 0.5, "softirq": 0.5}
    assert machine_seconds(times) == (14.0, 71.0)
    assert machine_seconds(times | {"steal": 9.0, "guest": 3.0}) == (23.0, 80.0)


def cpu(sys_folder: Path, count: int) -> None:
    folder = sys_folder / "devices/system/cpu/cpu0/thermal_throttle"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "core_throttle_count").write_text(f"{count}\n")


def cooling(sys_folder: Path, kind: str, state: int) -> None:
    folder = sys_folder / f"class/thermal/cooling_device-{kind}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "type").write_text(f"{kind}\n")
    (folder / "cur_state").write_text(f"{state}\n")


def test_a_machine_that_cannot_tell_says_nothing(tmp_path: Path) -> None:
    """Without counters and cooling devices it is unknown whether the processor slowed down, which is no disturbance."""
    load = LoadMeter(tmp_path).stop()
    assert load.throttled is None
    assert QUIET.disturbance() is None


def test_a_processor_that_slows_itself_down_is_noticed(tmp_path: Path) -> None:
    """A throttle counter that moves during a run tells; one that moved before does not."""
    cpu(tmp_path, 3)
    meter = LoadMeter(tmp_path)
    assert meter.stop().throttled is False
    meter.start()
    cpu(tmp_path, 4)
    assert meter.stop().throttled is True
    meter.start()
    assert meter.stop().throttled is False


def test_a_kernel_that_slows_the_processor_down_is_noticed(tmp_path: Path) -> None:
    """Cooling by frequency tells, at the start of a run or at its end; a fan does not."""
    cooling(tmp_path, "Fan", 3)
    assert LoadMeter(tmp_path).stop().throttled is None
    cooling(tmp_path, "cpufreq-cpu0", 0)
    meter = LoadMeter(tmp_path)
    assert meter.stop().throttled is False
    meter.start()
    cooling(tmp_path, "cpufreq-cpu0", 2)
    assert meter.stop().throttled is True
    meter.start()
    cooling(tmp_path, "cpufreq-cpu0", 0)
    assert meter.stop().throttled is True


def test_disturbances_say_why() -> None:
    """A run is disturbed by others beyond the limit and by a slowed processor, and by nothing else."""
    assert replace(QUIET, throttled=False).disturbance() is None
    assert replace(QUIET, others_percent=None).disturbance() is None
    assert replace(QUIET, others_percent=OTHERS_MAX).disturbance() is None
    assert "other processes took 40 %" in str(replace(QUIET, others_percent=40).disturbance())
    assert "slowed itself down" in str(replace(QUIET, throttled=True).disturbance())
