"""How much of the box's processor this process may use: not what the box has, but what quota and affinity leave of it.

A container's quota is in the control groups of the process and of all above it, version 2 (``cpu.max``) or 1
(``cpu.cfs_quota_us``): a quarter of a core shared by two threads is a quarter of a core, and much waiting.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from agent.observe.accelerators import PROC, SYS


def cores_usable(proc: Path = PROC, sys: Path = SYS) -> float:
    """Cores this process may keep busy, 0.25 for a quarter; those of its affinity mask where nothing is rationed."""
    allowed = float(len(os.sched_getaffinity(0)))
    return min([allowed, *(quota for quota in _quotas(proc, sys / "fs/cgroup") if quota > 0)])


def threads_usable(proc: Path = PROC, sys: Path = SYS) -> int | None:
    """Threads to compute with where the process may not have the whole box; None where it may."""
    cores = cores_usable(proc, sys)
    return None if cores >= (os.cpu_count() or 1) else max(1, int(cores))


def _quotas(proc: Path, mounts: Path) -> Iterator[float]:
    """The quota of each control group of this process, its own and those above it, in cores."""
    try:
        lines = (proc / "self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            for mount in (mounts, mounts / "unified"):
                yield from (_of_v2(folder) for folder in _upwards(mount, path))
        elif "cpu" in controllers.split(","):
            for mount in (mounts / controllers, mounts / "cpu"):
                yield from (_of_v1(folder) for folder in _upwards(mount, path))


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """The folder of a group and those above it. A container sees its own group as the root of the mount."""
    folder = mount / path.lstrip("/")
    yield folder
    yield from (above for above in folder.parents if above.is_relative_to(mount))


def _of_v2(folder: Path) -> float:
    try:
        quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        return 0.0 if quota == "max" else float(quota) / float(period)
    except (OSError, ValueError, ZeroDivisionError):
        return 0.0


def _of_v1(folder: Path) -> float:
    try:
        quota = float((folder / "cpu.cfs_quota_us").read_text(encoding="ascii"))
        return quota / float((folder / "cpu.cfs_period_us").read_text(encoding="ascii"))
    except (OSError, ValueError, ZeroDivisionError):
        return 0.0
