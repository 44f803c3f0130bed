"""A stand-in for systemd where none runs: one service, its notify socket, its watchdog, its restarts.

What it does it does as systemd does it, as far as an agent can tell: READY, EXTEND_TIMEOUT_USEC, WATCHDOG, messages of
the main process alone, SIGABRT and then SIGKILL for whom the watchdog ends, the state and cache folders, credentials,
the service's account. What confines a service (namespaces, system calls, devices) it does not do. The standard library
alone: it also runs on a bare box.
"""

import grp
import math
import os
import pwd
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from tests.systemd.unit import Unit

CREDENTIALS = struct.Struct("3i")


class StandIn:
    """Runs a unit from entering to leaving the context; everything it did stands in ``events``.

    ``command`` replaces ExecStart and ``variables`` win over the unit's, where a test has no installation. ``folder``
    holds socket, state, cache and credentials; by default the real places below /var and /run are used.
    """

    def __init__(
        self,
        unit: Unit,
        *,
        command: Sequence[str] | None = None,
        variables: Mapping[str, str] | None = None,
        folder: Path | None = None,
        abstract: bool = False,
        output: Any = None,
    ) -> None:
        self._unit = unit
        self._command = list(command or unit.command())
        self._variables = dict(variables or {})
        self._folder = folder
        self._run = folder or Path(tempfile.mkdtemp(prefix="stand-in-", dir="/run"))
        self._output = output
        self._address = f"\0edgepose-test-{os.getpid()}-{id(self)}" if abstract else str(self._run / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(self._address)
        if not abstract:
            Path(self._address).chmod(0o777)
        if folder is None:
            self._run.chmod(0o755)
        self._news = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._manage, name="stand-in", daemon=True)
        self._started_s = self._deadline_s = 0.0
        self.events: list[tuple[float, str]] = []
        """time.monotonic() and what happened: `start PID`, each message's lines, `watchdog`, `exit CODE`."""
        self.process: subprocess.Popen[bytes] | None = None
        self.ready = False
        self.status = ""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._socket.close()
        if self._folder is None:
            shutil.rmtree(self._run, ignore_errors=True)

    def stop(self) -> None:
        """Stop the service as systemd does: SIGTERM, then SIGKILL after TimeoutStopSec."""
        self._stop.set()
        self._thread.join()

    def wait(self, wanted: str, *, after: int = 0, timeout_s: float = 60.0) -> int:
        """Wait for an event that begins like this pattern, past or future; returns the number of the next one."""

        def found() -> int | None:
            places = range(after, len(self.events))
            return next((place + 1 for place in places if re.match(wanted, self.events[place][1])), None)

        with self._news:
            self._news.wait_for(lambda: found() is not None, timeout_s)
            place = found()
        assert place is not None, f"no {wanted!r} after {self.events[after:]}"
        return place

    def _tell(self, event: str) -> None:
        with self._news:
            self.events.append((time.monotonic(), event))
            self._news.notify_all()

    def _manage(self) -> None:
        while not self._stop.is_set():
            self._start()
            self._serve()
            self._stop.wait(self._unit.seconds("RestartSec", "0.1"))

    def _start(self) -> None:
        self.ready = False
        self.process = subprocess.Popen(
            self._command,
            env=self._environment(),
            stdout=self._output,
            stderr=self._output,
            start_new_session=True,
            **self._account(),
        )
        self._started_s = time.monotonic()
        self._deadline_s = self._started_s + (self._unit.seconds("TimeoutStartSec", "90s") or math.inf)
        self._tell(f"start {self.process.pid}")

    def _serve(self) -> None:
        """Listen and watch until the process has ended."""
        assert self.process is not None
        while self.process.poll() is None:
            if select.select([self._socket], [], [], 0.05)[0]:
                self._hear(self.process.pid)
            if self._stop.is_set():
                self._end(signal.SIGTERM, self._unit.seconds("TimeoutStopSec", "90s"))
            elif time.monotonic() > self._deadline_s:
                self._tell("watchdog" if self.ready else "start timed out")
                self._end(signal.SIGABRT, self._unit.seconds("TimeoutAbortSec", "90s"))
        while select.select([self._socket], [], [], 0)[0]:  # its last words
            self._hear(self.process.pid)
        self.ready = False
        self._tell(f"exit {self.process.returncode}")

    def _end(self, number: signal.Signals, timeout_s: float) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._tell("killed")
            self.process.kill()
        with suppress(ProcessLookupError):  # what it left behind in its control group
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _hear(self, main: int) -> None:
        message, ancillary, _flags, _from = self._socket.recvmsg(4096, socket.CMSG_SPACE(CREDENTIALS.size))
        sender = next(CREDENTIALS.unpack(data)[0] for _level, kind, data in ancillary if kind == socket.SCM_CREDENTIALS)
        if sender != main:
            self._tell(f"ignored {sender}")
            return
        told = dict(line.partition("=")[::2] for line in message.decode().splitlines())
        now_s = time.monotonic()
        first = "READY" in told and not self.ready
        self.ready = self.ready or first
        if "STATUS" in told:
            self.status = told["STATUS"]
        if self.ready and (first or "WATCHDOG" in told):
            self._deadline_s = now_s + (self._unit.seconds("WatchdogSec") or math.inf)
        elif not self.ready and "EXTEND_TIMEOUT_USEC" in told:
            self._deadline_s = max(self._deadline_s, now_s + int(told["EXTEND_TIMEOUT_USEC"]) / 1e6)
        for line in message.decode().splitlines():
            self._tell(line)

    def _environment(self) -> dict[str, str]:
        unit = self._unit
        own = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
        own["NOTIFY_SOCKET"] = self._address.replace("\0", "@")
        own["STATE_DIRECTORY"] = str(self._made("/var/lib", unit.one("StateDirectory", "state")))
        caches = unit.one("CacheDirectory", "cache").split()
        own["CACHE_DIRECTORY"] = ":".join(str(self._made("/var/cache", name)) for name in caches)
        if watchdog_s := unit.seconds("WatchdogSec"):
            own["WATCHDOG_USEC"] = f"{watchdog_s * 1e6:.0f}"
        if "LoadCredential" in unit.settings and self._folder is None:
            own["CREDENTIALS_DIRECTORY"] = str(self._credentials())
        return own | unit.environment() | self._variables

    def _made(self, place: str, name: str) -> Path:
        path = (self._folder or Path(place)) / name
        path.mkdir(exist_ok=True)
        self._give(path)
        return path

    def _credentials(self) -> Path:
        folder = self._run / "credentials"
        folder.mkdir(mode=0o700, exist_ok=True)
        for value in self._unit.settings["LoadCredential"]:
            name, _colon, origin = value.partition(":")
            for file in Path(origin).iterdir():  # missing: the service cannot start, as with systemd
                shutil.copyfile(file, folder / f"{name}_{file.name}")
        self._give(folder, *folder.iterdir())
        return folder

    def _give(self, *paths: Path) -> None:
        if account := self._account():
            for path in paths:
                os.chown(path, account["user"], account["group"])

    def _account(self) -> dict[str, Any]:
        """The service's account, where it exists and may be taken on; else our own."""
        name = self._unit.one("User")
        if self._folder is not None or os.geteuid() != 0 or not name:
            return {}
        user = pwd.getpwnam(name)
        groups = [grp.getgrnam(group).gr_gid for group in self._unit.one("SupplementaryGroups").split()]
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": groups}
