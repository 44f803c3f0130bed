"""What several cameras on one box cost, an agent each: ``make bench-cameras``.

Agents at a camera's pace, the sample clip, on one broker: processor time a frame, age of the results, memory. One agent
is the measure of the others. With ``--ways`` one agent, in turns by each way to compute: under either hint, with one
thread, and as an agent chooses that is told how old a result may be. Nothing here passes or fails; the last line is one
JSON object.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import paho.mqtt.client as paho
import psutil
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.wire.messages import Event, Keypoints
from models.getting.fetch import fetch
from models.shelf import catalogue
from models.shelf.store import Store, models_dir
from tests.broker import Broker, hang_up

FPS: Final = 10.0
AGE_MS: Final = 100.0
CONFIG: Final = """
camera = { source = "clip:vtest", loop = true }
model.input.long_side = 256
inference.device = "CPU"
"""
FIRST_S: Final = 300.0
"""By then every agent has sent something, however busy the machine is."""


@dataclass(frozen=True, slots=True)
class Way:
    """How to compute."""

    hint: str | None
    """None is what the agent measures to cost least of what holds the age."""
    threads: int | None = None
    """None is what OpenVINO takes."""

    def __str__(self) -> str:
        if self.hint is None:
            return f"as it fits within {AGE_MS:g} ms"
        return f"{self.hint} hint" + (f", {self.threads} thread" if self.threads else "")


WAYS: Final = (Way("throughput"), Way("latency"), Way("latency", 1), Way("throughput", 1), Way(None))
"""The first is the measure of the others."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of all agents together."""

    fps: float
    """Of each, in the mean."""
    cpu_ms: float
    """Of processor time, a frame."""
    age_ms_p95: float
    age_ms_p99: float
    rss_mb: float
    """Of all, added up."""
    pss_mb: float
    """Of all, pages that several share counted once."""


class Ear:
    """Hears the results of every agent."""

    def __init__(self, port: int) -> None:
        self.ages_ms: defaultdict[str, list[float]] = defaultdict(list)
        self.fitted: list[Event] = []
        self.news = threading.Condition()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_message = self._hear
        self._client.connect("127.0.0.1", port)
        self._client.subscribe([("edgepose/+/keypoints", 0), ("edgepose/+/event", 1)])
        self._client.loop_start()

    def _hear(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        payload = bytes(message.payload)
        with self.news:
            if message.topic.endswith("/event"):
                self.fitted += [event for event in [Event.decode(payload)] if event.code == "input.fitted"]
            else:
                result = Keypoints.decode(payload)
                self.ages_ms[result.device_id].append(result.age_ms)
            self.news.notify_all()

    def wait_for(self, what: str, true: Callable[[], bool]) -> None:
        """Leaves the program where that does not come true."""
        with self.news:
            if not self.news.wait_for(true, FIRST_S):
                raise SystemExit(f"no {what} within {FIRST_S:.0f} s")

    def forget(self) -> None:
        """Begin anew."""
        with self.news:
            self.ages_ms.clear()

    def close(self) -> None:
        """Stop hearing."""
        hang_up(self._client)


def agent(stack: ExitStack, port: int, number: int, folder: Path, way: Way) -> psutil.Process:
    """Start one; it ends with the stack."""
    options = {
        "EDGEPOSE_MQTT__PORT": str(port),
        "EDGEPOSE_DEVICE_ID": f"camera-{number}",
        "EDGEPOSE_PATHS__STATE": str(folder / f"state-{number}"),
        "EDGEPOSE_CAMERA__FPS_MAX": str(FPS),
    }
    options |= {"EDGEPOSE_INFERENCE__HINT": way.hint} if way.hint else {"EDGEPOSE_MODEL__FIT_AGE_MS": str(AGE_MS)}
    options |= {"EDGEPOSE_INFERENCE__THREADS": str(way.threads)} if way.threads else {}
    (config := folder / "box.toml").write_text(CONFIG)
    command = [sys.executable, "-m", "agent", "run", "--config", str(config)]
    process = subprocess.Popen(command, env=os.environ | options, stderr=subprocess.DEVNULL)
    stack.callback(process.wait, 30)
    stack.callback(process.terminate)
    return psutil.Process(process.pid)


def measured(count: int, seconds: float, way: Way) -> Cost:
    """So many agents, watched for so long once each has sent a result."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(Broker(folder))
        ear = Ear(broker.port)
        stack.callback(ear.close)
        processes = [agent(stack, broker.port, number, folder, way) for number in range(count)]
        ear.wait_for(f"result of each of {count} agents", lambda: len(ear.ages_ms) == count)
        if way.hint is None:
            ear.wait_for("choice", lambda: len(ear.fitted) == count)
            print(*(event.facts for event in ear.fitted), file=sys.stderr)
        time.sleep(seconds / 3)  # buffers and caches fill
        ear.forget()
        before_s, began_s = sum(map(_cpu_s, processes)), time.perf_counter()
        time.sleep(seconds)
        cpu_s, elapsed_s = sum(map(_cpu_s, processes)) - before_s, time.perf_counter() - began_s
        with ear.news:
            ages = [age for each in ear.ages_ms.values() for age in each]
        return Cost(
            fps=len(ages) / elapsed_s / count,
            cpu_ms=cpu_s / len(ages) * 1e3,
            age_ms_p95=float(np.percentile(ages, 95)),
            age_ms_p99=float(np.percentile(ages, 99)),
            rss_mb=sum(process.memory_info().rss for process in processes) / 2**20,
            pss_mb=sum(process.memory_full_info().pss for process in processes) / 2**20,
        )


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def ways(rounds: int, seconds: float) -> dict[str, float]:
    """One agent by each way, in turns: print the medians, and return them."""
    found: dict[Way, list[Cost]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            found[way].append(measured(1, seconds, way))
    print("| way | CPU ms a frame | over the first | age ms, p95 |\n|---|---|---|---|")
    figures: dict[str, float] = {}
    for way, costs in found.items():
        cpu_ms, age_ms = (statistics.median(getattr(cost, of) for cost in costs) for of in ("cpu_ms", "age_ms_p95"))
        over = statistics.median(cost.cpu_ms / its.cpu_ms for cost, its in zip(costs, found[WAYS[0]], strict=True))
        print(f"| {way} | {cpu_ms:.1f} | {over:.2f} | {age_ms:.0f} |")
        figures |= {f"{way}: cpu_ms": cpu_ms, f"{way}: over": over, f"{way}: age_ms_p95": age_ms}
    return figures


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--hint", choices=("latency", "throughput"), default="latency")
    parser.add_argument("--ways", type=int, metavar="ROUNDS", help="one agent, by each way to compute")
    arguments = parser.parse_args()
    for name in ("movenet-multipose", "vtest"):
        fetch(catalogue.card(name), Store(models_dir()))
    if arguments.ways:
        print(json.dumps({name: round(value, 2) for name, value in ways(arguments.ways, arguments.seconds).items()}))
        return 0
    figures: dict[str, float] = {}
    print(f"| agents | frames/s each, of {FPS:g} | CPU ms a frame | age ms, p99 | memory MB, all | shared pages once |")
    print("|---|---|---|---|---|---|")
    for count in arguments.counts:
        cost = measured(count, arguments.seconds, Way(arguments.hint))
        print(
            f"| {count} | {cost.fps:.1f} | {cost.cpu_ms:.1f} | {cost.age_ms_p99:.0f} "
            f"| {cost.rss_mb:.0f} | {cost.pss_mb:.0f} |",
            flush=True,
        )
        figures |= {
            f"fps_{count}": cost.fps,
            f"cpu_ms_{count}": cost.cpu_ms,
            f"age_ms_p99_{count}": cost.age_ms_p99,
            f"rss_mb_{count}": cost.rss_mb,
            f"pss_mb_{count}": cost.pss_mb,
        }
    print(json.dumps({name: round(value, 1) for name, value in figures.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
