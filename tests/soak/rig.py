"""A real agent on a camera, a link and a broker that can all be broken, and an ear that can listen for hours."""

import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import cv2
from paho.mqtt.client import Client, MQTTMessage

from agent.wire.messages import Keypoints, Metrics
from agent.wire.topics import Topics
from models.getting.fetch import fetch
from models.shelf import catalogue
from models.shelf.store import Store, models_dir
from tests.broker import Broker
from tests.capture.mjpeg import MjpegCamera
from tests.commander import Commander
from tests.link.proxy import Proxy
from tests.system.process import Process, started

TOPICS: Final = Topics("demo")
PERIOD_S: Final = 0.1
"""The camera gives ten pictures a second."""
PICTURES: Final = 200


class Ear(Commander):
    """Hears everything of one device. Of keypoints it keeps the newest alone, so that hours fit into memory."""

    def __init__(self, port: int) -> None:
        super().__init__(port, TOPICS)
        self.client.reconnect_delay_set(1, 1)
        self.windows: list[Metrics] = []
        self.captured_at = datetime.fromtimestamp(0, UTC)
        """When the picture of the newest poses was taken."""

    def _on_message(self, client: Client, data: object, message: MQTTMessage) -> None:
        if message.topic == self.topics.keypoints:
            with self._news:
                self.captured_at = Keypoints.decode(bytes(message.payload)).captured_at
                self._news.notify_all()
            return
        if message.topic == self.topics.metrics:
            window = Metrics.decode(bytes(message.payload))
            if not self.windows or window.sent_at > self.windows[-1].sent_at:  # a new subscription repeats the last
                self.windows.append(window)
        super()._on_message(client, data, message)

    def poses_since(self, moment: datetime, timeout_s: float) -> datetime | None:
        """Wait for poses of a picture taken after ``moment``; the moment they came, None where they did not."""
        with self._news:
            came = self._news.wait_for(lambda: self.captured_at > moment, timeout_s)
        return datetime.now(UTC) if came else None

    def forget(self) -> None:
        """Wait from now on for what is said from now on."""
        with self._news:
            self.messages.clear()


@dataclass(slots=True)
class Rig:
    """The agent and what surrounds it."""

    broker: Broker
    proxy: Proxy
    camera: MjpegCamera
    ear: Ear
    process: Process
    outage_s: tuple[float, float]
    """Shortest and longest time that something stays away."""
    frozen_after_s: float
    chance: random.Random = field(default_factory=lambda: random.Random(1))

    def away_s(self) -> float:
        """How long something stays away this time."""
        return self.chance.uniform(*self.outage_s)


def pictures(store: Store) -> Callable[[int], bytes]:
    """Pictures of people: the sample clip's first ones, to and fro, as JPEG."""
    video = cv2.VideoCapture(str(store.clip("vtest")))
    forth = [cv2.imencode(".jpg", video.read()[1])[1].tobytes() for _ in range(PICTURES)]
    video.release()
    both = forth + forth[-2:0:-1]
    return lambda number: both[number % len(both)]


@contextmanager
def rig(window_s: float, outage_s: tuple[float, float], frozen_after_s: float, long_side: int = 512) -> Iterator[Rig]:
    """Start it all; at the end of the block the agent is killed if it still runs."""
    store = Store(models_dir())
    for name in ("movenet-multipose", "vtest"):
        fetch(catalogue.card(name), store)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(Broker(folder))
        proxy = stack.enter_context(Proxy(broker.port))
        camera = stack.enter_context(MjpegCamera(PERIOD_S, jpeg=pictures(store)))
        ear = stack.enter_context(Ear(broker.port))
        variables = {
            "EDGEPOSE_CAMERA__SOURCE": camera.url,
            "EDGEPOSE_CAMERA__LOOP": "false",
            "EDGEPOSE_CAMERA__FROZEN_AFTER_S": f"{frozen_after_s}",
            "EDGEPOSE_METRICS__WINDOW_S": f"{window_s}",
            "EDGEPOSE_MODEL__INPUT__LONG_SIDE": f"{long_side}",
            "EDGEPOSE_SWITCH__MEASURE_S": "1",
            # What a precision loses is judged elsewhere; here it is to run.
            "EDGEPOSE_SWITCH__MISSED_MAX": "1",
            "EDGEPOSE_SWITCH__OKS_MIN": "0",
            "EDGEPOSE_PATHS__STATE": str(folder / "state"),
            "EDGEPOSE_PATHS__CACHE": str(folder / "cache"),
        }
        process = stack.enter_context(started(proxy.port, **variables))
        yield Rig(broker, proxy, camera, ear, process, outage_s, frozen_after_s)
