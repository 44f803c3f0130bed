"""Playwright, kept in the user's cache, Debian's Chromium, and the page as its command serves it."""

import shutil
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.broker import free_port
from tests.system.process import Process
from tests.tools import RigError, kept, run

HERE: Final = Path(__file__).parent
WANTED: Final = HERE / "requirements.txt"


def chromium() -> str:
    """The browser. Raises RigError."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        raise RigError("chromium is not installed")
    return found


def library() -> Path:
    """The folder that has Playwright; installed now unless it was before. Raises RigError."""
    return kept("playwright", WANTED.read_bytes() + sys.version.encode(), _install)


def _install(folder: Path) -> None:
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    install = [*pip, "install", "--quiet", "--no-deps", "--upgrade", "--target", folder, "-r", WANTED]
    run(install, "Playwright")


def _answers(port: int) -> None:
    """Wait until somebody listens, which is a moment after it was said."""
    deadline_s = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=60).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline_s, "nobody listens"
            time.sleep(0.05)
        else:
            return


@contextmanager
def page_served(broker_port: int, *options: str) -> Iterator[str]:
    """`controller dashboard` on a broker on loopback; yields its address."""
    port = free_port()
    # NiceGUI refuses to serve where it finds itself in a test.
    alone = ["env", "-u", "PYTEST_CURRENT_TEST", sys.executable, "-c", "from controller.cli import main; main()"]
    command = [*alone, "--broker", f"127.0.0.1:{broker_port}"]
    with Process([*command, "dashboard", "--listen", f"127.0.0.1:{port}", *options]) as process:
        process.wait_out("http://")
        _answers(port)
        yield f"http://127.0.0.1:{port}"
        process.popen.terminate()
        assert process.end() in {0, -15}, process.errors
