"""`agent forget`: a box that is taken away leaves the broker too."""

import socket
import threading
import time
from pathlib import Path
from typing import Final

import click

from agent.config.file import load
from agent.config.tree import Config
from agent.console import CONFIG_OPTION
from agent.errors import LinkError
from agent.link.outbox import News
from agent.link.session import Session
from agent.wire.broker import BrokerError
from agent.wire.messages import ONLINE
from agent.wire.topics import Topics

RETAINED_S: Final = 1.0
"""How long the broker is waited for to say what it keeps of us."""
ANSWER_S: Final = 5.0
"""How long it is waited for to clear that."""


@click.command()
@CONFIG_OPTION
def forget(config_file: Path | None) -> None:
    """Clear what the broker keeps of this device, which is taken away.

    With the device's own rights, and while its service is stopped. `controller forget` does it from a distance.
    """
    config = load(config_file)
    try:
        cleared = clear(config)
    except BrokerError as error:
        raise LinkError(error.cause, hint=error.cure) from error
    click.echo(f"{config.device_id}: forgotten, {cleared} topics cleared")


def clear(config: Config) -> int:
    """Clear every retained topic of the device; how many. Raises :class:`BrokerError`, or LinkError while it runs."""
    topics = Topics(config.device_id, config.mqtt.prefix)
    own, entities = (
        f"{topics.prefix}/{topics.device_id}/#",
        f"{config.homeassistant.prefix}/+/{topics.device_id}/+/config",
    )
    wake, waker = socket.socketpair()
    with wake, waker:
        session = Session(config.mqtt, f"{topics.device_id}-forget", threading.Lock(), wake, (own, entities))
        try:
            session.open(threading.Event())
            kept = _kept(session, RETAINED_S)
            if kept.get(topics.availability) == ONLINE:
                hint = f"systemctl stop edgepose-agent@{topics.device_id}"
                raise LinkError(f"{topics.device_id} is online and would say it all again", hint=hint)
            # What it may not read it may clear all the same.
            kept |= dict.fromkeys((topics.info, topics.state, topics.metrics, *map(topics.zone, config.zones)), b"")
            kept.pop(topics.availability, None)
            for topic in (*kept, topics.availability):  # who is interrupted is still known, and can be forgotten again
                session.announce(News(topic, b""))
                _settle(session)
        finally:
            session.close(graceful=True)
    return len(kept) + 1


def _kept(session: Session, seconds: float) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    deadline = time.monotonic() + seconds
    while session.alive and (left_s := deadline - time.monotonic()) > 0:
        session.turn(left_s)
        while session.arrived:
            said = session.arrived.popleft()
            if said.retained:
                found[said.topic] = said.payload
    return found


def _settle(session: Session) -> None:
    deadline = time.monotonic() + ANSWER_S
    while not session.settled:
        if not session.alive or time.monotonic() > deadline:
            raise session.end or BrokerError("the broker does not answer", "look at the broker's log")
        session.turn(0.1)
        session.settle()
    if session.denied and session.denied[-1][0].endswith("/availability"):
        topic, cure = session.denied[-1]
        raise BrokerError(f"the broker does not take {topic}", cure)
