"""What the machine did besides during a run."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from agent.observe.accelerators import SYS
from agent.observe.host import temperature_c

OTHERS_MAX = 10.0
"""Percent of the whole machine that other processes may take of a run.

The kernel, a broker and a shell take one to three percent of a box that is left alone. A network on the processor
loses about what the others take, and differences between configurations smaller than a tenth decide nothing.
"""
SLOWED_BY = ("Processor", "cpufreq", "thermal-cpufreq")
"""Beginnings of the names of the kernel's cooling devices that cool by slowing a processor down."""


@dataclass(frozen=True, slots=True)
class Load:
    """Of one run; fields as in :class:`agent.wire.study.Run`."""

    cpu_percent: float
    others_percent: float | None
    rss_mb: float
    temperature_c: float | None
    throttled: bool | None

    def disturbance(self) -> str | None:
        """Why the run was not quiet; None of one that was."""
        if self.throttled:
            return "the processor slowed itself down"
        if self.others_percent is not None and self.others_percent > OTHERS_MAX:
            return f"other processes took {self.others_percent:.0f} % of the machine"
        return None


class Meter(Protocol):
    """What watches a run."""

    def start(self) -> None:
        """Begin, just before the first frame."""

    def stop(self) -> Load:
        """End, just after the last; tells what happened since :meth:`start`."""


class LoadMeter:
    """Measures this process against the machine.

    Processor time that a hypervisor gave to somebody else ("steal") was taken by others. Time spent waiting for a disk
    was not. The kernel counts in hundredths of a second, so a run should last a second or more.
    """

    def __init__(self, sys: Path = SYS) -> None:
        self._sys = sys
        self._process = psutil.Process()
        self.start()

    def start(self) -> None:
        """Begin; may be called again for each run."""
        self._slowdowns = slowdowns(self._sys)
        self._slowed = slowed_now(self._sys)
        self._began_s = time.perf_counter()
        self._machine = _machine()
        self._own = self._own_seconds()

    def stop(self) -> Load:
        """Tell what happened since :meth:`start`."""
        own = self._own_seconds() - self._own
        busy, total = (now - then for now, then in zip(_machine(), self._machine, strict=True))
        elapsed = time.perf_counter() - self._began_s
        return Load(
            cpu_percent=100 * own / elapsed,
            others_percent=others_percent(busy, total, own),
            rss_mb=self._process.memory_info().rss / 2**20,
            temperature_c=temperature_c(),
            throttled=self._throttled(),
        )

    def _own_seconds(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system

    def _throttled(self) -> bool | None:
        counts, now = slowdowns(self._sys), slowed_now(self._sys)
        if counts is None and now is None:
            return None
        return counts != self._slowdowns or bool(self._slowed) or bool(now)


def machine_seconds(times: Mapping[str, float]) -> tuple[float, float]:
    """Busy and total processor seconds over all cores, from the kernel's times by kind.

    "Guest" times are not added: they are within those of users. Systems other than Linux know fewer kinds.
    """
    busy = sum(times.get(kind, 0.0) for kind in ("user", "nice", "system", "irq", "softirq", "steal"))
    return busy, busy + times.get("idle", 0.0) + times.get("iowait", 0.0)


def _machine() -> tuple[float, float]:
    return machine_seconds(psutil.cpu_times()._asdict())


def others_percent(busy_s: float, total_s: float, own_s: float) -> float | None:
    """Share of the machine that went to others than this process; None of a span too short for the kernel to tell."""
    return min(100.0, 100 * max(0.0, busy_s - own_s) / total_s) if total_s > 0 else None


def slowdowns(sys: Path) -> int | None:
    """How often Intel processors have slowed themselves down for heat since the start; None where nobody counts."""
    counts = list(_numbers(sys, "devices/system/cpu/cpu*/thermal_throttle/*_throttle_count"))
    return sum(counts) if counts else None


def slowed_now(sys: Path) -> bool | None:
    """Whether the kernel cools a processor by slowing it down; None where it has no such means."""
    states = []
    for device in sys.glob("class/thermal/cooling_device*"):
        try:
            kind = (device / "type").read_text(encoding="ascii")
        except (OSError, ValueError):
            continue
        if kind.startswith(SLOWED_BY):
            states += list(_numbers(device, "cur_state"))
    return any(state > 0 for state in states) if states else None


def _numbers(folder: Path, pattern: str) -> Iterator[int]:
    for file in folder.glob(pattern):
        try:
            yield int(file.read_text(encoding="ascii"))
        except (OSError, ValueError):  # a core that is offline refuses to be read
            continue
