"""Figures of the box and of this process. What a machine cannot tell is None, never 0."""

import os
import platform
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from agent.observe.accelerators import PROC, SYS, BusyMeter
from agent.observe.capacity import cores_usable
from agent.wire.messages import HostInfo

# Sensors of the processor, best first: Intel, AMD, ARM boards; then the board's own.
CPU_SENSORS: Final = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "soc_thermal", "acpitz")


@dataclass(frozen=True, slots=True)
class HostFigures:
    """What changes while the agent runs."""

    cpu_percent: float
    """Of this process since the figures before; 100 is one core."""
    rss_mb: float
    temperature_c: float | None
    gpu_busy_percent: float | None
    npu_busy_percent: float | None


class ProcessMeter:
    """Measures this process; each reading covers the time since the one before."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._process.cpu_percent()  # psutil's first answer is always 0.0
        self._accelerators = BusyMeter()

    def figures(self) -> HostFigures:
        """Read all figures without waiting."""
        gpu, npu = self._accelerators.read()
        return HostFigures(
            cpu_percent=self._process.cpu_percent(),
            rss_mb=self._process.memory_info().rss / 2**20,
            temperature_c=temperature_c(),
            gpu_busy_percent=gpu,
            npu_busy_percent=npu,
        )


def host_info() -> HostInfo:
    """Describe the box for the birth message."""
    return HostInfo(
        hostname=socket.gethostname(),
        os=os_name(),
        cpu=cpu_model(),
        cores=os.cpu_count() or 1,
        memory_mb=psutil.virtual_memory().total >> 20,
        cores_usable=round(cores_usable(), 2),
    )


def os_name() -> str:
    """Name the distribution, or the kernel where no distribution names itself."""
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.platform(terse=True)


def cpu_model(proc: Path = PROC) -> str:
    """Name the processor; on ARM the kernel names only the board or the architecture."""
    facts: dict[str, str] = {}
    for line in (proc / "cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    return facts.get("model name") or facts.get("Model") or platform.machine()


def temperature_c() -> float | None:
    """Hottest reading of the processor, degrees Celsius."""
    sensors = psutil.sensors_temperatures()
    for name in CPU_SENSORS:
        if name in sensors:
            return max(reading.current for reading in sensors[name])
    return None


def cpu_governors(sys: Path = SYS) -> tuple[str, ...]:
    """Frequency governors in force, each once; empty where the kernel (or a virtual machine) has none."""
    files = sys.glob("devices/system/cpu/cpu*/cpufreq/scaling_governor")
    return tuple(sorted({file.read_text(encoding="ascii").strip() for file in files}))
