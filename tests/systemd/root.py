"""A clean Debian root to try an installer in: its own files, this machine's network and kernel."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

PACKAGES = "systemd,dbus,python3,python3-venv"
"""What a Debian server has besides the smallest system; logind asks for dbus."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SYSTEMCTL = """#!/bin/sh
PYTHONPATH=/usr/local/lib/stand-in exec python3 -m tests.systemd.systemctl "$@"
"""
HERE = Path(__file__).parent


class Box(Protocol):
    """A root with an installer in it, and whatever runs its services."""

    path: Path

    def run(self, command: Sequence[str], **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the root, as its root user, and take down what it says."""
        ...

    def boot(self) -> None:
        """From here on systemd, or who stands in for it, starts services."""
        ...

    def main_pid(self, service: str) -> int:
        """The service's own process, as the box counts; 0 where there is none."""
        ...

    def status(self, service: str) -> str:
        """What the service told systemd last."""
        ...

    def log(self, service: str) -> str:
        """What the service wrote."""
        ...


def debian(kept: Path, suite: str, more: Sequence[str] = ()) -> Path:
    """A tar of a fresh minimal Debian or Ubuntu with a few packages more; made with debootstrap where it is missing.

    MIRROR names where it comes from.
    """
    packages = ",".join((PACKAGES, *more))
    archive = kept / f"root-{suite}-{packages.replace(',', '-')}.tar"
    if archive.exists():
        return archive
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept) as scratch:
        root = Path(scratch) / "root"
        mirror = [os.environ["MIRROR"]] if os.environ.get("MIRROR") else []
        subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={packages}", suite, str(root), *mirror],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        shutil.rmtree(root / "var/cache/apt")
        part = Path(scratch) / "root.tar"
        subprocess.run(["tar", "-C", str(root), "--one-file-system", "-cf", str(part), "."], check=True)
        part.rename(archive)
    return archive


def release() -> str:
    """This machine's, by its name."""
    told = dict(line.partition("=")[::2] for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines())
    return told["VERSION_CODENAME"].strip('"')


def unpack(archive: Path, path: Path) -> Path:
    """A root of its own from the tar."""
    path.mkdir()
    with tarfile.open(archive) as tar:
        tar.extractall(path, filter="fully_trusted")
    return path


def taken_down(command: Sequence[str], *, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command with nothing of this machine's environment but ``environ``; errors among what it says."""
    return subprocess.run(
        command,
        env={"PATH": PATH, "LANG": "C.UTF-8", **(environ or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    )


class Root:
    """A root without systemd, entered by chroot: a stand-in starts the installed unit.

    A context manager. Mounts belong to the caller's private namespace and end with it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Self:
        for kind in ("proc", "sysfs"):
            place = self.path / {"sysfs": "sys"}.get(kind, kind)
            subprocess.run(["mount", "-t", kind, kind, str(place)], check=True)
        place = self.path / "usr/local/lib/stand-in/tests/systemd"
        place.mkdir(parents=True)
        (place.parent / "__init__.py").touch()
        for name in ("__init__.py", "stand_in.py", "unit.py", "systemctl.py"):
            shutil.copy(HERE / name, place)
        shim = self.path / "usr/local/bin/systemctl"
        shim.write_text(SYSTEMCTL)
        shim.chmod(0o755)
        return self

    def __exit__(self, *_: object) -> None:
        self.end_all()
        for place in ("proc", "sys"):
            subprocess.run(["umount", str(self.path / place)], check=False)

    def run(self, command: Sequence[str], **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the root, as its root user, and take down what it says."""
        return taken_down(["chroot", str(self.path), *command], environ=variables)

    def boot(self) -> None:
        """The stand-in answers as systemd from here on; it starts what it is asked to."""
        (self.path / "run/systemd/system").mkdir(parents=True)

    def main_pid(self, service: str) -> int:
        """The service's own process, as this machine counts."""
        started = [event for _s, event in self._state(service)["events"] if event.startswith("start ")]
        return int(started[-1].split()[1])

    def status(self, service: str) -> str:
        """What the service told the stand-in last."""
        told: str = self._state(service)["status"]
        return told

    def log(self, service: str) -> str:
        """What the service wrote."""
        return (self.path / f"run/stand-in/{service}.log").read_text()

    def _state(self, service: str) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.path / f"run/stand-in/{service}.state").read_text())
        return state

    def processes(self) -> list[int]:
        """Processes that live in the root."""
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                if (place / "root").resolve() == self.path.resolve():
                    found.append(int(place.name))
            except OSError:
                continue
        return found

    def end_all(self) -> None:
        """End what still runs in the root."""
        for pid in self.processes():
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                continue


def require(trial: str, package_of: Mapping[str, str]) -> None:
    """Say in a line what a trial needs of this machine and does not find: a command, and the package that brings it."""
    if os.geteuid() != 0:
        sys.exit(f"{trial}: a clean root takes the rights of root: sudo make {trial}")
    missing = [name for name in package_of if shutil.which(name) is None]
    if missing:
        packages = " ".join(sorted({package_of[name] for name in missing}))
        sys.exit(f"{trial}: {', '.join(missing)} missing: apt-get install {packages}")
