"""Graphics cards and neural processors: whether OpenVINO sees one, and if not, which step is missing on this box.

What OpenVINO lists decides. Device files, groups and libraries only explain why it lists none: a machine can reach its
graphics card without /dev/dri, as the Windows Subsystem for Linux does through /dev/dxg.
"""

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from sys import executable
from typing import Final

from agent.config.tree import Inference
from agent.doctor.finding import Check, Level
from agent.observe.accelerators import SYS
from agent.wire.devices import DeviceString, DeviceStringError
from agent.wire.messages import DeviceInfo

DEV: Final = Path("/dev")
INTEL: Final = "0x8086"
OPENCL: Final = "libOpenCL.so.1"
LEVEL_ZERO: Final = "libze_loader.so.1"
NPU_DRIVER: Final = "intel_vpu"
LOAD_S: Final = 4.0
"""Less than a check may take."""

Listed = Callable[[], tuple[DeviceInfo, ...]]


@dataclass(frozen=True, slots=True)
class Missing:
    """Why OpenVINO lists no device of a kind; ``there`` tells whether the hardware is."""

    finding: str
    cure: str
    there: bool = True


def gpu(settings: Inference, listed: Listed, dev: Path = DEV, sys: Path = SYS) -> Check:
    """Look for a graphics card OpenVINO can compute on."""
    return _judge("gpu", "GPU", settings, listed(), lambda: _no_gpu(dev, sys))


def npu(settings: Inference, listed: Listed, dev: Path = DEV, sys: Path = SYS) -> Check:
    """Look for a neural processor OpenVINO can compute on."""
    return _judge("npu", "NPU", settings, listed(), lambda: _no_npu(dev, sys))


def _judge(
    name: str, kind: str, settings: Inference, listed: tuple[DeviceInfo, ...], why: Callable[[], Missing]
) -> Check:
    mine = [device for device in listed if device.name.partition(".")[0] == kind]
    if mine:
        told = ", ".join(f"{device.name} ({device.full_name})" for device in mine)
        return Check(name, Level.OK, f"OpenVINO sees {told}")
    missing, wanted = why(), _wants(settings.device, kind)
    if wanted:
        told = f"{missing.finding}, but inference.device is {settings.device}"
        return Check(name, Level.FAIL, told, missing.cure or "set inference.device to CPU")
    if not missing.there:
        return Check(name, Level.OK, missing.finding)
    return Check(name, Level.WARN, missing.finding, missing.cure)


def _wants(text: str, kind: str) -> bool:
    """Whether a device string names a device of this kind; one that is left out is not named."""
    try:
        members = DeviceString.parse(text).members
    except DeviceStringError:  # the check of the devices says so
        return False
    return any(member.partition(".")[0] == kind for member in members)


def _no_gpu(dev: Path, sys: Path) -> Missing:
    nodes = [node for node in sorted((dev / "dri").glob("renderD*")) if _is_intel(node, sys)]
    if not nodes and (dev / "dxg").exists():
        return Missing(
            "this is the Windows Subsystem for Linux (/dev/dxg, no /dev/dri), and OpenVINO sees no GPU",
            "install Intel's graphics driver in Windows, and here: apt install intel-opencl-icd, then start it anew",
        )
    if not nodes:
        cure = "pass /dev/dri to the container or virtual machine, or set inference.device to CPU"
        return Missing("no GPU found", cure, there=False)
    if closed := _closed(nodes):
        return Missing(f"{closed} may not be used by this user", _join(closed))
    if (fault := _cannot_load(OPENCL)) is not None:
        return Missing(fault, "install OpenCL with Intel's driver: apt install intel-opencl-icd")
    return Missing(
        f"{nodes[0]} may be used and OpenCL loads, but OpenVINO sees no GPU",
        "install Intel's driver for OpenCL: apt install intel-opencl-icd; `clinfo -l` lists what OpenCL finds",
    )


def _no_npu(dev: Path, sys: Path) -> Missing:
    nodes = sorted((dev / "accel").glob("accel*"))
    drivers = {node: _driver_of(node, sys) for node in nodes}
    mine = [node for node in nodes if drivers[node] in {NPU_DRIVER, None}]
    if not mine:
        there = ", ".join(f"{node} of {driver}" for node, driver in drivers.items())
        finding = f"no NPU found: {there} is another's" if there else "no NPU found"
        cure = f"it needs the kernel's module {NPU_DRIVER} (Linux 6.6) and its firmware; or set another device"
        return Missing(finding, cure, there=False)
    if closed := _closed(mine):
        return Missing(f"{closed} may not be used by this user", _join(closed))
    if (fault := _cannot_load(LEVEL_ZERO)) is not None:
        return Missing(fault, "install Level Zero's loader and Intel's linux-npu-driver")
    return Missing(
        f"{mine[0]} may be used and Level Zero loads, but OpenVINO sees no NPU", "install Intel's linux-npu-driver"
    )


def _is_intel(node: Path, sys: Path) -> bool:
    vendor = sys / "class/drm" / node.name / "device/vendor"
    return not vendor.exists() or vendor.read_text(encoding="ascii").strip() == INTEL


def _driver_of(node: Path, sys: Path) -> str | None:
    driver = sys / "class/accel" / node.name / "device/driver"
    return driver.resolve().name if driver.exists() else None


def _closed(nodes: list[Path]) -> Path | None:
    """The first of the device files that this user may not use."""
    return next((node for node in nodes if not os.access(node, os.R_OK | os.W_OK)), None)


def _join(node: Path) -> str:
    try:
        group = node.group()
    except KeyError:  # in a container the host's group may have no name
        group = str(node.stat().st_gid)
    return f"sudo usermod -aG {group} $USER, then log in again"


def _cannot_load(library: str) -> str | None:
    """Why a library cannot be loaded. Tried in a child: one may end the process that loads it."""
    command = [executable, "-c", "import ctypes, sys; ctypes.CDLL(sys.argv[1])", library]
    done = subprocess.run(  # noqa: S603 - our own interpreter, and a name from above
        command, capture_output=True, text=True, errors="replace", timeout=LOAD_S, check=False
    )
    if done.returncode < 0:
        return f"{library} ends every process that loads it, by signal {-done.returncode}"
    return done.stderr.strip().rpartition("\n")[2].removeprefix("OSError: ") if done.returncode else None
