"""`agent forget`: with its own rights a device takes back what it has left at the broker."""

import pytest

from agent.commands.forget import clear
from agent.config.tree import Config
from agent.errors import LinkError
from agent.wire.topics import Topics
from tests.broker import Broker, Listener, publish_all
from tests.link.conftest import TOPICS

OTHER = Topics("edge-2")
ENTITY = "homeassistant/sensor/edge-1/fps/config"


def left(port: int, availability: bytes = b"offline") -> None:
    """Leave at the broker what two boxes leave there."""
    own = (TOPICS.info, TOPICS.state, TOPICS.metrics, TOPICS.zone("mat"), TOPICS.job("sweep-1"), ENTITY)
    said = dict.fromkeys((*own, OTHER.state, OTHER.availability), b"{}")
    publish_all(port, {**said, TOPICS.availability: availability}, retain=True)


def kept(port: int) -> set[str]:
    """The topics the broker keeps."""
    with Listener(port) as listener:
        publish_all(port, {"end": b""})
        listener.wait_for("end", b"")
        return {message.topic for message in listener.messages if message.retain}


def config(port: int, **mqtt: str) -> Config:
    """The configuration of the box."""
    return Config.model_validate({"device_id": "edge-1", "mqtt": {"host": "127.0.0.1", "port": port, **mqtt}})


def test_everything_of_the_device_is_cleared(broker: Broker) -> None:
    """And nothing of another."""
    left(broker.port)
    assert clear(config(broker.port)) == 7
    assert kept(broker.port) == {OTHER.state, OTHER.availability}


def test_an_agent_that_runs_is_not_forgotten(broker: Broker) -> None:
    """It would say it all again; nothing is cleared."""
    left(broker.port, b"online")
    with pytest.raises(LinkError, match="is online"):
        clear(config(broker.port))
    assert TOPICS.state in kept(broker.port)
