"""``make bench-fleet``: a thousand simulated agents on one mosquitto, on loopback, and what that costs.

Prints one JSON object; docs/fleet.md has the figures of one run. With ``--tls`` the same over TLS: the restart of the
broker is then the storm of reconnections. With ``--rumqttd`` on another broker.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import psutil

from tests.authority import make_authority
from tests.broker import Broker
from tests.fleet.rumqttd import Rumqttd
from tests.fleet.watch import Watch

WAIT_S: Final = 600.0
ROOT: Final = Path(__file__).parents[2]
QUEUED: Final = "max_queued_messages 0"
"""As many as there are: of a thousand boxes more than a thousand messages are kept for whoever asks for all."""
CONTROLLER: Final = """
import atexit, pathlib, sys
from controller.cli import main
atexit.register(lambda: sys.stderr.write(pathlib.Path("/proc/self/status").read_text()))
main()
"""
"""Ends with what the system knows of it: the most memory it had is told nowhere else once it is gone."""


@contextmanager
def boxes(port: int, first: int, count: int, state: Path, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of simulated boxes, ended gently and then by force."""
    command = [sys.executable, "-m", "tests.fleet.boxes", "--port", str(port), "--state", str(state)]
    process = subprocess.Popen(
        [*command, "--first", str(first), "--count", str(count), *more],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(120)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Meter:
    """What a process has cost since it was made."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._began_s, self._cpu_s = time.monotonic(), self._used_s()

    def _used_s(self) -> float:
        times = [each.cpu_times() for each in self._all()]
        return float(sum(each.user + each.system for each in times))

    def _all(self) -> list[psutil.Process]:
        """With those it has started."""
        return [self._process, *self._process.children(recursive=True)]

    def read(self) -> dict[str, float]:
        """Percent of a core, and megabytes."""
        took_s = time.monotonic() - self._began_s
        return {
            "cpu_percent": round(100 * (self._used_s() - self._cpu_s) / took_s, 1),
            "rss_mb": round(sum(each.memory_info().rss for each in self._all()) / 1e6, 1),
        }


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run of the controller took; ``cpu_s`` is of the processor, ``rss_mb`` the most memory it had."""

    seconds: float
    cpu_s: float
    rss_mb: float
    printed: str

    def told(self) -> dict[str, float]:
        """As the page has it."""
        return {"s": round(self.seconds, 2), "cpu_s": round(self.cpu_s, 2), "rss_mb": round(self.rss_mb, 1)}


def controller(port: int, *words: str) -> Cost:
    """Run the controller as a user does."""
    began_s, before = time.monotonic(), os.times()
    command = [sys.executable, "-c", CONTROLLER, "--broker", f"127.0.0.1:{port}", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    took_s, after = time.monotonic() - began_s, os.times()
    used_s = after.children_user + after.children_system - before.children_user - before.children_system
    peak_kb = next(line.split()[1] for line in done.stderr.splitlines() if line.startswith("VmHWM:"))
    return Cost(took_s, used_s, int(peak_kb) * 1024 / 1e6, done.stdout)


def measured(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Run it all once."""
    count, processes = given.agents, given.processes
    lines, ca_file = ["allow_anonymous true", QUEUED], None
    more = ["--keypoints-fps", str(given.keypoints_fps), "--window-s", str(given.window_s)]
    if given.tls:
        make_authority(folder)
        ca_file = folder / "ca.pem"
        lines += [f"certfile {folder / 'broker.pem'}", f"keyfile {folder / 'broker.key'}"]
        more += ["--ca-file", str(ca_file)]
    found: dict[str, Any] = {
        "agents": count,
        "processes": processes,
        "tls": given.tls,
        "rumqttd": given.rumqttd,
        "load_before": os.getloadavg(),
    }
    with ExitStack() as stack:
        broker: Rumqttd | Broker = Rumqttd(folder, 2 * count) if given.rumqttd else Broker(folder, lines)
        stack.enter_context(broker)
        watch = stack.enter_context(Watch(broker.port, ca_file))
        broker_pid = broker.pid
        began_s = time.monotonic()
        shares = [count * n // processes for n in range(processes + 1)]
        started = [
            stack.enter_context(boxes(broker.port, first, until - first, folder, *more))
            for first, until in pairwise(shares)
        ]
        last = watch.all_there(count, WAIT_S)
        found["cold_start_s"] = {leaf: round(at_s - began_s, 1) for leaf, at_s in last.items()}
        _say(found)
        meter, meters = Meter(broker_pid), [Meter(each.pid) for each in started]
        found["commands"] = [watch.ask_all(name, count, WAIT_S) for name in ("pause", "resume", "describe")]
        found["commands"].append(watch.ask_all("set-precision", count, WAIT_S, {"precision": "INT8"}))
        found["broker_during_commands"] = meter.read()
        _say(found)
        meter, meters = Meter(broker_pid), [Meter(each.pid) for each in started]
        time.sleep(given.idle_s)  # what is measured is that nothing is asked
        found["broker_idle"] = meter.read()
        found["simulation_idle"] = [each.read() for each in meters]
        if not given.tls:
            as_json = controller(broker.port, "list", "--json")
            listed = json.loads(as_json.printed)["devices"]
            found["controller_lists"] = len([each for each in listed if each["status"] == "running"])
            assert found["controller_lists"] == count, "not all are listed"
            found["controller_list_json"] = as_json.told()
            found["controller_list"] = [controller(broker.port, "list").told() for _ in range(2)]
        found |= _restarted(broker, watch, count)
    found["load_after"] = os.getloadavg()
    return found


def _restarted(broker: Broker | Rumqttd, watch: Watch, count: int) -> dict[str, Any]:
    """Kill the broker, and wait until its successor has been told everything again."""
    watch.forget()
    broker.kill()
    began_s = time.monotonic()
    broker.start()
    meter = Meter(broker.pid)
    last = watch.all_there(count, WAIT_S)
    return {
        "broker_restart_s": {leaf: round(at_s - began_s, 1) for leaf, at_s in last.items()},
        "broker_after_restart": meter.read(),
        "commands_after": watch.ask_all("pause", count, WAIT_S),
    }


def _say(found: dict[str, Any]) -> None:
    sys.stderr.write(json.dumps(found) + "\n")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--keypoints-fps", type=float, default=0.0)
    parser.add_argument("--window-s", type=float, default=30.0)
    parser.add_argument("--idle-s", type=float, default=30.0)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--rumqttd", action="store_true")
    with tempfile.TemporaryDirectory(prefix="edgepose-fleet-") as folder:
        found = measured(Path(folder), parser.parse_args())
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
