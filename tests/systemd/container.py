"""A clean Debian root with its own systemd, booted by systemd-nspawn: its own processes, this machine's network."""

import os
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.systemd.root import taken_down

NSPAWN = ("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--link-journal=no", "--console=pipe")
"""No machined, no scope of its own: neither is there where this machine's first process is not systemd."""
ON_DISK = {"SYSTEMD_NSPAWN_TMPFS_TMP": "0"}
"""/tmp as Debian 12 has it, not a tenth of the memory: a bundle is unpacked there."""
NOISE = "Attempted to remove disk file system"
"""What nspawn says of its own folder where this machine's /run is on a disk."""
BOOT_S = 120.0
HALT_S = 60.0


class Container:
    """The root as a box that is off until :meth:`boot`. A context manager: leaving it turns the box off."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._nspawn = (*NSPAWN, f"--directory={path}", f"--machine=edgepose-trial-{os.getpid()}")
        self._console = path.with_name("console.log")
        self._running: subprocess.Popen[bytes] | None = None
        self._first = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.halt()

    def boot(self) -> None:
        """Turn it on, and wait until all that starts with it has started; its files are as it left them."""
        address = self.path.with_name("ready")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready, self._console.open("ab") as console:
            ready.bind(str(address))
            ready.settimeout(0.5)
            self._running = subprocess.Popen(
                [*self._nspawn, "--boot", "--notify-ready=yes"],
                env={**os.environ, **ON_DISK, "NOTIFY_SOCKET": str(address)},
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
            told = self._until_ready(ready)
        address.unlink()
        (self._first,) = (int(line.partition("=")[2]) for line in told if line.startswith("X_NSPAWN_LEADER_PID="))

    def _until_ready(self, ready: socket.socket) -> list[str]:
        """What nspawn tells until all is up."""
        assert self._running is not None
        told: list[str] = []
        deadline_s = time.monotonic() + BOOT_S
        while "READY=1" not in told:
            with suppress(TimeoutError):
                told += ready.recv(4096).decode().splitlines()
            if self._running.poll() is not None or time.monotonic() > deadline_s:
                raise SystemExit(f"boot-trial: systemd-nspawn boots no box here: {self._console.read_text().strip()}")
        return told

    def halt(self) -> None:
        """Turn it off in order, as a box whose button is pressed."""
        if self._running is None:
            return
        self._running.terminate()
        try:
            self._running.wait(HALT_S)
        except subprocess.TimeoutExpired:
            self._running.kill()
            self._running.wait()
        self._running = None

    def run(self, command: Sequence[str], **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the box, as its root user; while it is off, in a container without systemd."""
        if self._running is not None:
            return taken_down(["nsenter", f"--target={self._first}", "--all", "--", *command], environ=variables)
        given = [f"--setenv={name}={value}" for name, value in variables.items()]
        done = taken_down([*self._nspawn, "--as-pid2", *given, "--", *command], environ=ON_DISK)
        done.stdout = "".join(line for line in done.stdout.splitlines(True) if not line.startswith(NOISE))
        return done

    def show(self, service: str, name: str) -> str:
        """What systemd knows of a service."""
        return self.run(["systemctl", "show", "--value", f"--property={name}", service]).stdout.strip()

    def main_pid(self, service: str) -> int:
        """The service's own process, as the box counts; 0 where there is none."""
        return int(self.show(service, "MainPID"))

    def status(self, service: str) -> str:
        """What the service told systemd last."""
        return self.show(service, "StatusText")

    def log(self, service: str) -> str:
        """What the journal has of the service, systemd's own lines about it among it, of this boot and those before."""
        return self.run(["journalctl", "--unit", service, "--output=cat", "--no-pager"]).stdout
