"""What the hub knows of a real broker: the newest, bounded, and nothing of what is no message."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.wire.messages import ZoneMessage
from agent.wire.topics import Topics
from controller.client.address import Address
from controller.dashboard import hub as hub_module
from controller.dashboard.hub import Hub
from controller.errors import NoAnswerError
from tests.broker import Broker, publish
from tests.dashboard import boxes


def hub_of(port: int) -> Hub:
    return Hub(Address("127.0.0.1", port), prefix="edgepose", timeout_s=5.0)


def wait(wanted: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(1500):
        if wanted():
            return
        pause.wait(0.01)
    raise AssertionError("it did not come")


def test_it_knows_what_the_boxes_say(broker: Broker) -> None:
    """State, summaries, events and zones of every box; a cleared one is gone; nobody is in a zone of a dead box."""
    boxes.appear(broker.port, "gym-01")
    with hub_of(broker.port) as hub:
        wait(lambda: "gym-01" in hub.boxes and hub.boxes["gym-01"].online)
        box, topics = hub.boxes["gym-01"], Topics("gym-01")
        publish(broker.port, topics.event, boxes.event("gym-01", "camera.lost", "no picture").encode())
        wait(lambda: bool(box.events))
        zone = ZoneMessage(device_id="gym-01", sent_at=boxes.now(), zone="hall", persons=2)
        publish(broker.port, topics.zone("hall"), zone.encode(), retain=True)
        wait(lambda: "hall" in box.zones)
        publish(broker.port, topics.metrics, boxes.metrics("gym-01", 1).encode(), retain=True)
        wait(lambda: len(box.history) == 2)
        publish(broker.port, topics.availability, b"offline", retain=True)
        wait(lambda: not box.online)
        assert not box.zones
        publish(broker.port, topics.availability, b"", retain=True)
        wait(lambda: "gym-01" not in hub.boxes)
        assert hub.trouble == ""


def test_keypoints_come_while_somebody_looks(broker: Broker) -> None:
    """They are asked for from the broker only then, and come as they stand on the wire."""
    boxes.appear(broker.port, "gym-01")
    came: list[bytes] = []
    with hub_of(broker.port) as hub:
        wait(lambda: "gym-01" in hub.boxes)
        with hub.looking("gym-01", came.append):

            def asked() -> bool:
                publish(broker.port, Topics("gym-01").keypoints, boxes.keypoints("gym-01", 1))
                return bool(came)

            wait(asked)
        assert came[0].startswith(b'{"device_id":"gym-01"')
        publish(broker.port, Topics("gym-01").keypoints, b"not even JSON")


def test_what_is_no_message_is_left_alone(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither garbage, nor another's name in the body, nor more boxes than there can be, become a box."""
    monkeypatch.setattr(hub_module, "BOXES_MAX", 2)
    with hub_of(broker.port) as hub:
        publish(broker.port, Topics("gym-01").state, b"\xff{")
        publish(broker.port, Topics("gym-02").state, boxes.state("gym-03").encode())
        publish(broker.port, "edgepose/<b>/state", boxes.state("gym-03").encode())
        publish(broker.port, Topics("gym-04").job("1"), b'{"id": 1}')
        for number in (5, 6, 7):
            boxes.appear(broker.port, f"gym-0{number}")
        wait(lambda: len(hub.boxes) == 2)
        publish(broker.port, Topics("gym-05").event, boxes.event("gym-05", "agent.started", "").encode())
        wait(lambda: bool(hub.boxes["gym-05"].events))
        assert set(hub.boxes) == {"gym-05", "gym-06"}


def test_a_broker_that_comes_back_is_found_again(tmp_path: Path) -> None:
    """Its absence is told, and is over by itself."""
    with Broker(tmp_path, start=False) as broker, hub_of(broker.port) as hub:
        wait(lambda: "127.0.0.1" in hub.trouble)
        broker.start()
        boxes.appear(broker.port, "gym-01")
        wait(lambda: "gym-01" in hub.boxes and not hub.trouble)
        broker.kill()
        wait(lambda: bool(hub.trouble))
        broker.start()
        wait(lambda: not hub.trouble)
        with pytest.raises(NoAnswerError):
            hub.command("nobody", "pause", {})
