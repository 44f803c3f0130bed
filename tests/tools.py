"""Programs that tests need and that no package of this project brings: installed once, kept in the user's cache."""

import fcntl
import hashlib
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from platformdirs import PlatformDirs


class RigError(Exception):
    """It cannot be had here."""


def kept(name: str, wanted: bytes, install: Callable[[Path], None]) -> Path:
    """The folder of a tool at what is ``wanted``; ``install`` fills it, once, whoever else asks meanwhile.

    One that was broken off is filled again. Raises RigError.
    """
    key = hashlib.sha256(wanted).hexdigest()[:12]
    folder = Path(PlatformDirs("edgepose", appauthor=False).user_cache_dir) / "tools" / f"{name}-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    ready = folder / ".ready"
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            install(folder)
            ready.touch()
    return folder


def run(command: Sequence[str | Path], what: str, folder: Path | None = None) -> None:
    """Run an installer. Raises RigError with its last words."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RigError(f"{command[0]} cannot install {what}: {done.stderr[-2000:]}")
