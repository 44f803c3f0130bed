"""What a flood of commands that are refused costs an agent, and what its results feel of it: ``make bench-refusals``.

Bad commands as fast as they are taken, through a broker to a whole agent that looks at the sample clip as at a camera,
each with its reply; before it, and again after it, the same agent without. Nothing here passes or fails. Processor time
a command hardly depends on what else the machine does. The last line is one JSON object.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import paho.mqtt.client as paho
import psutil
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.wire.messages import Keypoints
from agent.wire.topics import Topics
from models.getting.fetch import fetch
from models.shelf import catalogue
from models.shelf.store import Store, models_dir
from tests.broker import Broker, hang_up
from tests.system.process import started

TOPICS: Final = Topics("flooded")
REPLY: Final = TOPICS.reply("flood")
BAD: Final = (
    ("set-devise", b'{"args": {"device": "CPU"}}'),
    ("set-device", b'{"args": {"devise": "CPU"}}'),
    ("set-device", b'{"args": {"device": 5}}'),
    ("set-precision", b'{"args": '),
    ("pause", b'{"argz": {}}'),
    ("x" * 60, b"\xff" * 100),
)
"""Command and payload: unknown, misspelt, of the wrong type, no JSON, and nothing of all that."""
UNDER_WAY: Final = 512
"""Of the thousand replies that an agent keeps for a broker, the oldest of which gives way to one more."""
PATIENCE_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a time."""

    elapsed_s: float
    cpu_s: float
    ages_ms: tuple[float, ...]


class Flood:
    """Sends, and counts what comes; a context manager."""

    def __init__(self, port: int, process: psutil.Process) -> None:
        self._port = port
        self._process = process
        self._news = threading.Condition()
        self._ages_ms: list[float] = []
        self._replies = 0
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.max_inflight_messages_set(1000)
        self._client.on_message = self._hear

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port)
        self._client.subscribe([(TOPICS.keypoints, 0), (REPLY, 0)])
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        hang_up(self._client)

    def _hear(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        age_ms = Keypoints.decode(bytes(message.payload)).age_ms if message.topic == TOPICS.keypoints else None
        with self._news:
            if age_ms is None:
                self._replies += 1
            else:
                self._ages_ms.append(age_ms)
            self._news.notify_all()

    def calm(self, results: int) -> Cost:
        """So many results without a command."""
        return self._during(lambda: self._wait_for(lambda: len(self._ages_ms) >= results))

    def flooded(self, commands: int) -> Cost:
        """So many commands, as many under way as an agent keeps replies to, and each answered."""
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ResponseTopic = REPLY
        before = self._replies

        def send() -> None:
            for number, (name, payload) in enumerate(islice(cycle(BAD), commands), 1):
                self._client.publish(TOPICS.command(name), payload, 1, properties=properties)
                least = commands if number == commands else number - UNDER_WAY
                self._wait_for(lambda least=least: self._replies - before >= least)  # type: ignore[misc]

        return self._during(send)

    def _wait_for(self, true: Callable[[], bool]) -> None:
        with self._news:
            if not self._news.wait_for(true, PATIENCE_S):
                raise SystemExit(f"{self._replies} replies and {len(self._ages_ms)} results within {PATIENCE_S:.0f} s")

    def _during(self, do: Callable[[], None]) -> Cost:
        with self._news:
            self._ages_ms.clear()
        began_s, before_s = time.perf_counter(), _cpu_s(self._process)
        do()
        cpu_s, elapsed_s = _cpu_s(self._process) - before_s, time.perf_counter() - began_s
        with self._news:
            return Cost(elapsed_s, cpu_s, tuple(self._ages_ms))


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", type=int, default=10_000)
    parser.add_argument("--results", type=int, default=100, help="of which the calm before and after is made")
    arguments = parser.parse_args()
    for name in ("movenet-multipose", "vtest"):
        fetch(catalogue.card(name), Store(models_dir()))
    with (
        tempfile.TemporaryDirectory() as folder,
        Broker(Path(folder), ["allow_anonymous true", "max_queued_messages 0"]) as broker,
        started(
            broker.port,
            EDGEPOSE_DEVICE_ID=TOPICS.device_id,
            EDGEPOSE_MODEL__INPUT__LONG_SIDE="256",
            EDGEPOSE_CAMERA__FPS_MAX="10",
            EDGEPOSE_PATHS__STATE=folder,
        ) as process,
        Flood(broker.port, psutil.Process(process.popen.pid)) as flood,
    ):
        flood.calm(20)  # it starts, and buffers fill
        before, flooded = flood.calm(arguments.results), flood.flooded(arguments.commands)
        after = flood.calm(arguments.results)
    # A box that has no time for all frames looks at fewer: what the others would have cost is not the commands'.
    frame_s = (before.cpu_s + after.cpu_s) / len(before.ages_ms + after.ages_ms)
    calm_ms, flooded_ms = (float(np.percentile(ages, 99)) for ages in (before.ages_ms + after.ages_ms, flooded.ages_ms))
    figures = {
        "refused_per_s": arguments.commands / flooded.elapsed_s,
        "cpu_us_a_refusal": (flooded.cpu_s - frame_s * len(flooded.ages_ms)) / arguments.commands * 1e6,
        "age_ms_p99": calm_ms,
        "age_ms_p99_flooded": flooded_ms,
        "age_ratio": flooded_ms / calm_ms,
        "results_per_s": len(before.ages_ms + after.ages_ms) / (before.elapsed_s + after.elapsed_s),
        "results_per_s_flooded": len(flooded.ages_ms) / flooded.elapsed_s,
    }
    for name, value in figures.items():
        print(f"{name:24} {value:10.2f}")
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
