"""Playwright, kept in the user's cache, Debian's Chromium, and the page as its command serves it."""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from platformdirs import PlatformDirs

from tests.broker import free_port
from tests.system.process import Process

HERE: Final = Path(__file__).parent
WANTED: Final = HERE / "requirements.txt"


class RigError(Exception):
    """There is no browser to be driven here."""


def chromium() -> str:
    """The browser. Raises RigError."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        raise RigError("chromium is not installed")
    return found


def library() -> Path:
    """The folder that has Playwright; installed now unless it was before. Raises RigError."""
    key = hashlib.sha256(WANTED.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = Path(PlatformDirs("edgepose", appauthor=False).user_cache_dir) / "tools" / f"playwright-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    ready = folder / ".ready"
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            pip: list[str | Path] = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
            install = [*pip, "install", "--quiet", "--no-deps", "--upgrade", "--target", folder, "-r", WANTED]
            done = subprocess.run(install, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RigError(f"pip cannot install Playwright: {done.stderr[-1000:]}")
            ready.touch()
    return folder


@contextmanager
def page_served(broker_port: int, *options: str) -> Iterator[str]:
    """`controller dashboard` on a broker on loopback; yields its address."""
    port = free_port()
    # NiceGUI refuses to serve where it finds itself in a test.
    alone = ["env", "-u", "PYTEST_CURRENT_TEST", sys.executable, "-c", "from controller.cli import main; main()"]
    command = [*alone, "--broker", f"127.0.0.1:{broker_port}"]
    with Process([*command, "dashboard", "--listen", f"127.0.0.1:{port}", *options]) as process:
        process.wait_out("http://")
        yield f"http://127.0.0.1:{port}"
        process.popen.terminate()
        assert process.end() in {0, -15}, process.errors
