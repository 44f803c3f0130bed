"""`systemctl` where systemd does not run: enabling is done by the real one, which needs none; starting by the stand-in.

For the clean root of the trial, with the standard library alone. ``serve`` is what it starts in the background.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.systemd.stand_in import StandIn
from tests.systemd.unit import Unit

REAL = "/usr/bin/systemctl"
RUN = Path("/run/stand-in")
START_S = 120.0


def path(unit: str, what: str) -> Path:
    """Where the stand-in of a unit keeps its pid, its events and the service's output."""
    return RUN / f"{unit.removesuffix('.service')}.{what}"


def serve(name: str) -> None:
    """Be the stand-in of one unit until SIGTERM."""
    template, _at, instance = name.removesuffix(".service").partition("@")
    unit = Unit.read(Path(f"/etc/systemd/system/{template}@.service"), instance)
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    with path(name, "log").open("ab") as log, StandIn(unit, output=log) as running:
        while not stopped.wait(0.05):
            written = path(name, "part")
            written.write_text(json.dumps({"events": running.events, "status": running.status, "ready": running.ready}))
            written.replace(path(name, "state"))


def start(name: str) -> int:
    """Start a unit; 0 once it is ready, 1 when its process ended before, as systemctl answers."""
    RUN.mkdir(exist_ok=True)
    path(name, "state").unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.systemd.systemctl", "serve", name]
    with path(name, "log").open("ab") as log:  # not the caller's output, which would stay open with it
        serving = subprocess.Popen(command, start_new_session=True, stdout=log, stderr=log)
    path(name, "pid").write_text(str(serving.pid))
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and serving.poll() is None:
        time.sleep(0.05)
        if not path(name, "state").exists():
            continue
        told = [event for _s, event in json.loads(path(name, "state").read_text())["events"]]
        if "READY=1" in told:
            return 0
        if any(event.startswith(("exit", "start timed out")) for event in told):
            break
    sys.stderr.write(f"Job for {name} failed.\n")
    return 1


def stop(name: str) -> None:
    """Stop a unit and wait for it."""
    try:
        pid = int(path(name, "pid").read_text())
        os.kill(pid, signal.SIGTERM)
    except (FileNotFoundError, ProcessLookupError):
        return
    path(name, "pid").unlink()
    while Path(f"/proc/{pid}").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
        time.sleep(0.05)


def real(*words: str) -> int:
    """What needs no systemd: the links that say what starts with the box."""
    return subprocess.run([REAL, *words], env={**os.environ, "SYSTEMD_OFFLINE": "1"}, check=False).returncode


def main(verb: str, *words: str) -> int:
    """Do what one call asks for."""
    names = [word for word in words if not word.startswith("-")]
    match verb:
        case "serve":
            serve(names[0])
        case "daemon-reload":
            pass
        case "restart":
            for name in names:
                stop(name)
            return max(start(name) for name in names)
        case "disable" if "--now" in words:
            for name in names:
                stop(name)
            return real("disable", *[word for word in words if word != "--now"])
        case _:
            return real(verb, *words)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
