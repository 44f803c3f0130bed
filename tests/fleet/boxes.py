"""Simulated agents, many in one process: ``python -m tests.fleet.boxes --port P --first 0 --count 250``.

It prints a line when all have been started and ends, with them, when its standard input does.
"""

import argparse
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final, Self

from agent.app import Agent
from agent.config.tree import Config, Mqtt, Tls
from agent.observe import logs
from agent.observe.host import HostFigures
from agent.service import memory
from tests.fleet.engine import Behaviour, Clock, SimulatedAssembly

GROUP: Final = "fleet"
NO_FIGURES: Final = HostFigures(0.0, 0.0, None, None, None)
"""Of the machine: an agent reads all that its process has open, which here is that of hundreds."""
SLOW_FPS: Final = 0.5
"""Of ten before."""
STACK_BYTES: Final = 512 * 1024
SWITCH_S: Final = 0.25
"""So often each thread that waits for the interpreter wakes: with hundreds, Python's 5 ms fill the cores with that."""


def name_of(number: int) -> str:
    """The id of a box."""
    return f"gym-{number:04}"


def behaviour_of(
    number: int, *, fail: Sequence[int] = (), slow: Sequence[int] = (), vanish: Sequence[int] = ()
) -> Behaviour:
    """What a box does, by its number."""
    return Behaviour(fails=number in fail, slows_to=SLOW_FPS if number in slow else None, vanishes=number in vanish)


class Box:
    """One simulated agent in a thread of its own."""

    def __init__(self, number: int, common: dict[str, Any], behaviour: Behaviour, clock: Clock) -> None:
        self.config = Config.model_validate(
            common
            | {
                "device_id": name_of(number),
                "groups": (GROUP,),
                "model": {"name": "movenet-multipose"},
                "inference": {"device": "CPU", "hang_timeout_s": 3600.0},
                "camera": {"source": "rtsp://simulated/stream"},
            }
        )
        assembly: Any = SimulatedAssembly(behaviour, clock, self.vanish)
        self._agent = Agent(self.config, assemble=assembly.made)
        meter: Any = self
        self._agent._meter = meter
        self._thread = threading.Thread(target=self._agent.run, name=self.config.device_id, daemon=True)

    def figures(self) -> HostFigures:
        """In place of the agent's meter of its process."""
        return NO_FIGURES

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def vanish(self) -> None:
        """Be gone without a goodbye, as when the power is cut: the broker tells by the last will."""
        link: Any = self._agent._outlet
        link._stop.set()
        link._say_goodbye = lambda _session: False
        link._wake()

    def stop(self) -> None:
        """Ask it to end."""
        self._agent.stop("the simulation ends")

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join(30)


class Boxes:
    """Boxes of consecutive numbers, as a context manager."""

    def __init__(self, boxes: Sequence[Box], clock: Clock) -> None:
        self._boxes = boxes
        self._clock = clock
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self._clock)
        for box in self._boxes:
            box.start()
        return self

    def __exit__(self, *_: object) -> None:
        for box in self._boxes:
            box.stop()
        for box in self._boxes:
            box.join()
        self._stack.close()


def make(
    port: int,
    numbers: Sequence[int],
    state: Path,
    *,
    window_s: float = 30.0,
    clock: Clock,
    mqtt: Mqtt | None = None,
    **which: Any,
) -> Boxes:
    """Boxes at a broker on loopback; ``mqtt`` is how they reach it, if not in the plainest way."""
    common = {
        "mqtt": mqtt or Mqtt(host="127.0.0.1", port=port, keepalive_s=60),
        "metrics": {"window_s": window_s},
        "switch": {"measure_s": 2.0},
        "paths": {"state": state, "models": state, "cache": state},
    }
    boxes = [Box(number, common, behaviour_of(number, **which), clock) for number in numbers]
    return Boxes(boxes, clock)


def main() -> None:
    """Run boxes until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--window-s", type=float, default=30.0)
    parser.add_argument("--ca-file", type=Path, help="TLS, and the authority that signed the broker's certificate.")
    parser.add_argument("--keypoints-fps", type=float, default=0.0)
    for name in ("fail", "slow", "vanish"):
        parser.add_argument(f"--{name}", type=int, nargs="*", default=[])
    given = parser.parse_args()
    threading.stack_size(STACK_BYTES)
    sys.setswitchinterval(SWITCH_S)
    memory.settle()
    memory.settle = memory.tidy = lambda: None  # each would have the whole process collect what hundreds of them hold
    logs.setup(Config.model_validate({"log": {"level": "error", "format": "json"}}).log)
    numbers = range(given.first, given.first + given.count)
    clock = Clock(given.keypoints_fps)
    tls = Tls(enabled=True, ca_file=given.ca_file) if given.ca_file else Tls()
    mqtt = Mqtt(host="127.0.0.1", port=given.port, keepalive_s=60, tls=tls)
    which = {name: getattr(given, name) for name in ("fail", "slow", "vanish")}
    with make(given.port, numbers, given.state, window_s=given.window_s, clock=clock, mqtt=mqtt, **which):
        sys.stdout.write("started\n")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            sys.stdin.read()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
