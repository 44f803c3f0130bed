"""The npm packages of package.json, kept in the user's cache."""

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Final

from platformdirs import PlatformDirs

HERE: Final = Path(__file__).parent
WANTED: Final = HERE / "package.json"


class RigError(Exception):
    """They cannot be had here."""


def packages() -> Path:
    """The folder that has them; installed now (a minute) unless they were before. Raises RigError."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        raise RigError("node and npm are not installed")
    key = hashlib.sha256(WANTED.read_bytes()).hexdigest()[:12]
    folder = Path(PlatformDirs("edgepose", appauthor=False).user_cache_dir) / "tools" / f"node-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    ready = folder / ".ready"
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            shutil.copy(WANTED, folder)
            npm = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
            done = subprocess.run(npm, cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RigError(f"npm cannot install them: {done.stderr[-1000:]}")
            ready.touch()
    return folder
