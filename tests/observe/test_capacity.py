"""What quota and affinity leave of the box, read from control groups made of files, and from a real one."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.observe.capacity import cores_usable, threads_usable

ALL = float(len(os.sched_getaffinity(0)))
V1 = Path("/sys/fs/cgroup/cpu")
ASK = "from agent.observe.capacity import cores_usable, threads_usable; print(cores_usable(), threads_usable())"


def machine(folder: Path, groups: str, **files: str) -> tuple[Path, Path]:
    """Folders as /proc and /sys of a process in these control groups."""
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/self/cgroup").write_text(groups, encoding="ascii")
    for name, text in files.items():
        path = folder / "sys/fs/cgroup" / name.replace("__", "/").replace("cpu_", "cpu.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    return folder / "proc", folder / "sys"


@pytest.mark.parametrize(
    ("groups", "files", "cores", "threads"),
    [
        ("0::/\n", {}, ALL, None),
        ("0::/a/b\n", {"a__b__cpu_max": "max 100000\n"}, ALL, None),
        ("0::/a/b\n", {"a__b__cpu_max": "25000 100000\n"}, 0.25, 1),
        ("0::/a/b\n", {"a__b__cpu_max": "max 100000\n", "a__cpu_max": "50000 100000\n"}, 0.5, 1),
        ("0::/\n", {"cpu_max": "30000 100000\n"}, 0.3, 1),
        ("4:cpu,cpuacct:/x\n", {"cpu,cpuacct__x__cpu_cfs_quota_us": "-1", "cpu,cpuacct__x__cpu_cfs_period_us": "1000"},
         ALL, None),
        ("1:cpu:/x\n0::/\n", {"cpu__x__cpu_cfs_quota_us": "75000\n", "cpu__x__cpu_cfs_period_us": "100000\n"}, 0.75, 1),
        ("0::/a\n", {"a__cpu_max": "nonsense\n"}, ALL, None),
    ],
)  # fmt: skip
def test_the_least_of_all_groups_counts(
    tmp_path: Path, groups: str, files: dict[str, str], cores: float, threads: int | None
) -> None:
    """The quota of the process's own group or of one above it, in either version; what is unlimited limits nothing."""
    proc, sys_ = machine(tmp_path, groups, **files)
    assert (cores_usable(proc, sys_), threads_usable(proc, sys_)) == (cores, threads)


def test_an_affinity_mask_is_kept_to() -> None:
    """A process that may run on one core of several computes in one thread."""
    if ALL < 2:
        pytest.skip("this machine lets us run on one core alone")
    one = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, [{one}]); {ASK}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1.0", "1"]


@pytest.fixture
def quarter() -> Iterator[Path]:
    """A real control group of a quarter of a core."""
    group = V1 / f"edgepose-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "cpu.cfs_period_us").write_text("100000")
        (group / "cpu.cfs_quota_us").write_text("25000")
    except OSError as error:
        pytest.skip(f"no control group can be made in {V1}: {error.strerror}")
    yield group
    group.rmdir()


def test_a_real_quota_is_kept_to(quarter: Path) -> None:
    """In a group of a quarter of a core a process knows it, whatever the box has."""
    code = f"import os; open({str(quarter / 'cgroup.procs')!r}, 'w').write(str(os.getpid())); {ASK}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0.25", "1"]
