"""The agent under a fault, and an ear at its broker that knows when what came."""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from paho.mqtt.client import MQTTMessage

from agent.wire.messages import ONLINE, Event, Keypoints, State
from agent.wire.topics import Topics
from tests import broken_networks
from tests.broker import Broker
from tests.capture.mjpeg import MjpegCamera
from tests.capture.pictures import write_folder
from tests.commander import Commander
from tests.fault.table import Stage
from tests.system.process import DEMO, Born, Process
from tests.system.small import variables

TOPICS: Final = Topics("demo")
RETAINED: Final = (TOPICS.availability, TOPICS.info, TOPICS.state, TOPICS.metrics)
"""What every agent keeps at its broker."""
DRIVER: Final = (
    # Threads that imports start inherit the mask: signals are the agent's own thread's.
    "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT)); "
    "from tests.fault.driver import main; main()"
)
VARIABLES: Final = {
    "EDGEPOSE_MODEL__INPUT__LONG_SIDE": "256",
    "EDGEPOSE_SWITCH__MEASURE_S": "0.3",
    "EDGEPOSE_METRICS__WINDOW_S": "1",
}


@dataclass(frozen=True, slots=True)
class Heard:
    """A message, when it came on the clock that all processes share and on the wall's."""

    at_s: float
    wall_s: float
    topic: str
    payload: bytes
    retain: bool


class Ear(Commander):
    """Hears everything of one agent."""

    def __init__(self, port: int, topics: Topics = TOPICS) -> None:
        super().__init__(port, topics)
        self.heard: list[Heard] = []

    def _on_message(self, client: Any, data: object, message: MQTTMessage) -> None:
        now = time.perf_counter(), time.time()
        with self._news:
            self.heard.append(Heard(*now, message.topic, bytes(message.payload), message.retain))
        super()._on_message(client, data, message)

    def after(self, since_s: float, wanted: Callable[[Heard], bool], timeout_s: float = 30.0) -> Heard:
        """The first message that came after this moment and is wanted."""

        def found() -> Heard | None:
            return next((heard for heard in self.since(since_s) if wanted(heard)), None)

        with self._news:
            self._news.wait_for(lambda: found() is not None, timeout_s)
        heard = found()
        assert heard is not None, (
            f"not within {timeout_s:g} s, but {[seen.topic for seen in self.since(since_s)][-20:]}"
        )
        return heard

    def since(self, since_s: float) -> list[Heard]:
        """What came after this moment."""
        return [heard for heard in list(self.heard) if heard.at_s >= since_s]

    def event(self, code: str, since_s: float, timeout_s: float = 30.0) -> Heard:
        """The first event of this code."""
        return self.after(
            since_s,
            lambda seen: seen.topic == TOPICS.event and Event.decode(seen.payload).code == code,
            timeout_s,
        )

    def pose(self, since_s: float, timeout_s: float = 30.0) -> Heard:
        """The first keypoints of a frame that was taken after this moment."""
        wall_s = time.time() - (time.perf_counter() - since_s)
        return self.after(
            since_s,
            lambda seen: (
                seen.topic == TOPICS.keypoints
                and Keypoints.decode(seen.payload).captured_at.timestamp() >= wall_s - 0.001
            ),
            timeout_s,
        )

    def announced(self, since_s: float, topics: Sequence[str] = RETAINED, timeout_s: float = 60.0) -> float:
        """Seconds from a moment until all of these have been told again, to be kept, the agent as online, and poses."""

        def kept(seen: Heard, topic: str) -> bool:
            return seen.topic == topic and seen.retain and (topic != TOPICS.availability or seen.payload == ONLINE)

        wanted = [partial(kept, topic=topic) for topic in topics]
        come = [self.after(since_s, told, timeout_s) for told in wanted]
        return max(seen.at_s for seen in (*come, self.pose(since_s, timeout_s))) - since_s

    def ages_ms(self) -> list[float]:
        """How old the frames of all keypoints were when these came."""
        return [
            (heard.wall_s - Keypoints.decode(heard.payload).captured_at.timestamp()) * 1e3
            for heard in list(self.heard)
            if heard.topic == TOPICS.keypoints
        ]

    def states(self) -> list[State]:
        """What has been told of the state."""
        return [State.decode(heard.payload) for heard in list(self.heard) if heard.topic == TOPICS.state]


def driven(port: int, **variables: str) -> Process:
    """The agent on the demo's configuration, with what FAULT_* variables ask for built in.

    It is born in the nursery unless it is to find other libraries, which is settled when a process starts.
    """
    given = {"EDGEPOSE_MQTT__HOST": "127.0.0.1", "EDGEPOSE_MQTT__PORT": str(port)} | VARIABLES | variables
    kind = Process if "LD_LIBRARY_PATH" in given else Born
    return kind([sys.executable, "-c", DRIVER, "run", "--config", DEMO], **given)


def small(stage: Stage, **more: str) -> tuple[Path, dict[str, str]]:
    """A folder, and the environment of an agent on a tiny network: it starts in a second."""
    folder = stage.room()
    broken_networks.sound(folder / "networks")
    pictures = write_folder(folder / "pictures", 20)
    given = variables(folder / "networks", pictures, folder) | {"EDGEPOSE_CAMERA__LOSSLESS": "false"}
    return folder, given | more


def seen_by(camera: MjpegCamera) -> dict[str, str]:
    """Environment of an agent that looks at this camera, all its time-outs as they are by default."""
    return {"EDGEPOSE_CAMERA__SOURCE": camera.url, "EDGEPOSE_CAMERA__LOOP": "false"}


@contextmanager
def running(folder: Path, **variables: str) -> Iterator[tuple[Broker, Ear, Process]]:
    """An agent that publishes, its broker, and an ear."""
    with Broker(folder) as broker, Ear(broker.port) as ear, driven(broker.port, **variables) as process:
        ear.after(0, lambda seen: seen.topic == TOPICS.keypoints, 120)
        yield broker, ear, process


def pause(seconds: float) -> None:
    """Let time pass: a figure is taken over it."""
    threading.Event().wait(seconds)


def published(path: Path) -> list[tuple[float, float, int, int]]:
    """What the driver's probe wrote: published at, captured at, seq, number of the picture."""
    rows = []
    for line in path.read_text(encoding="ascii").splitlines():
        with suppress(ValueError):  # the last line may be half written
            at_s, captured_s, seq, number = line.split()
            rows.append((float(at_s), float(captured_s), int(seq), int(number)))
    return rows


def longest_gap_ms(path: Path, since_s: float) -> float:
    """The longest time between two results that the probe saw after a moment."""
    moments = [at_s for at_s, *_ in published(path) if at_s > since_s]
    return max(later - earlier for earlier, later in pairwise(moments)) * 1e3
