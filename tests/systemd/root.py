"""A clean Debian root to try an installer in: its own files, this machine's network and kernel."""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

PACKAGES = "systemd,python3,python3-venv"
SYSTEMCTL = """#!/bin/sh
PYTHONPATH=/usr/local/lib/stand-in exec python3 -m tests.systemd.systemctl "$@"
"""
HERE = Path(__file__).parent


def debian(kept: Path) -> Path:
    """A tar of a fresh minimal Debian or Ubuntu, of this machine's release; made with debootstrap where it is missing.

    SUITE and MIRROR name another release and where it comes from.
    """
    suite = os.environ.get("SUITE") or _codename()
    archive = kept / f"root-{suite}.tar"
    if archive.exists():
        return archive
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept) as scratch:
        root = Path(scratch) / "root"
        mirror = [os.environ["MIRROR"]] if os.environ.get("MIRROR") else []
        subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, str(root), *mirror],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        shutil.rmtree(root / "var/cache/apt")
        part = Path(scratch) / "root.tar"
        subprocess.run(["tar", "-C", str(root), "--one-file-system", "-cf", str(part), "."], check=True)
        part.rename(archive)
    return archive


def _codename() -> str:
    release = dict(
        line.partition("=")[::2] for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    )
    return release["VERSION_CODENAME"].strip('"')


class Root:
    """The unpacked root, as a context manager. Mounts belong to the caller's private namespace and end with it."""

    def __init__(self, archive: Path, folder: Path) -> None:
        self.path = folder / "root"
        self.path.mkdir()
        with tarfile.open(archive) as tar:
            tar.extractall(self.path, filter="fully_trusted")

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

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command in the root, as its root user, and take down what it says."""
        return subprocess.run(
            ["chroot", str(self.path), *command],
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
            check=False,
        )

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


def require() -> None:
    """Say what the trial needs of this machine and does not find."""
    missing = [name for name in ("debootstrap", "chroot", "mount") if shutil.which(name) is None]
    if os.geteuid() != 0:
        sys.exit("install-trial: a clean root takes the rights of root: sudo make install-trial")
    if missing:
        sys.exit(f"install-trial: {', '.join(missing)} missing: apt-get install debootstrap")
