"""What `agent doctor` finds out at the broker: it connects as the agent does, and says and reads as the agent would."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from agent.config.tree import Mqtt, made_up
from agent.doctor.finding import Check, Level
from agent.link.outbox import Letter, News
from agent.link.session import Session, Will
from agent.output.messages import ID_TAKEN
from agent.wire.broker import BrokerError
from agent.wire.commands import Job, JobStatus
from agent.wire.limits import Limits
from agent.wire.messages import State
from agent.wire.strings import place
from agent.wire.topics import Topics

RETAINED_S: Final = 1.0
"""How long a broker that accepts us is waited for to say what it keeps."""
ANSWER_S: Final = 1.5
"""How long it is waited for to acknowledge what we say."""
EXPIRY_S: Final = 10
COMFORTABLE_BYTES: Final = 64 << 10
"""A birth message, a snapshot and the result of a sweep are smaller."""
LIMITED_CURE: Final = "raise the limits in the broker's configuration; what does not fit is dropped and told"


def broker(settings: Mqtt, device_id: str) -> Check:
    """Connect as the agent does, with its last will and QoS 1, say something on each topic it writes, and read it back.

    Under another client id: an agent that runs must not lose its connection to this. What is said on the agent's topics
    is empty and not retained, but for a job of doctor's own, which is cleared again.
    """
    at, topics = place(settings.host, settings.port), Topics(device_id, settings.prefix)
    own = topics.job("doctor")
    try:
        with _visit(settings, f"{device_id}-doctor", own, Will(own, b"")) as session:
            came_back = _say(session, topics, own)
            ended = session.end
    except BrokerError as error:
        return Check("broker", Level.FAIL, f"{at}: {error.cause}", error.cure)
    if ended is not None:
        return Check("broker", Level.FAIL, f"{at} let us in, then: {ended.cause}", ended.cure)
    if denied := [(topic, cure) for topic, cure in session.denied if topic != own or not session.granted]:
        names = ", ".join(dict.fromkeys(topic for topic, _ in denied))
        return Check("broker", Level.FAIL, f"{at} lets us in, and does not take {names}", denied[0][1])
    limits = session.limits
    finding = f"{at} accepts this agent{' over TLS' if settings.tls.enabled else ''}"
    if words := limits.words():
        finding += f"; it takes {', '.join(words)}"
    if not came_back:
        finding += "; it may write its topics, and not read them"
    if not limits.retains or not limits.qos or not limits.wildcards or limits.packet_bytes < COMFORTABLE_BYTES:
        return Check("broker", Level.WARN, finding, LIMITED_CURE)
    return Check("broker", Level.OK, finding)


def _say(session: Session, topics: Topics, own: str) -> bool:
    """Say something everywhere; whether the job came back."""
    now = datetime.now(UTC)
    job = Job(
        device_id=topics.device_id,
        sent_at=now,
        id="doctor",
        command="check",
        status=JobStatus.SUCCEEDED,
        step="the broker takes it",
        progress=1.0,
        started_at=now,
        finished_at=now,
    )
    leaves = (topics.availability, topics.info, topics.state, topics.metrics, topics.event, topics.reply("doctor"))
    waiting: list[News | Letter] = [News(own, job.encode(), EXPIRY_S), *(Letter(topic, b"") for topic in leaves)]
    deadline = time.monotonic() + ANSWER_S
    while session.alive and time.monotonic() < deadline:
        session.settle()
        while waiting and session.room:
            said = waiting.pop(0)
            if not session.limits.fits(said.packet_bytes):
                continue
            session.announce(said) if isinstance(said, News) else session.post(said)
        if not waiting and session.settled and session.arrived:
            break
        session.turn(0.1)
    came_back = bool(session.arrived)
    session.announce(News(own, b""))
    while session.alive and not session.settled and time.monotonic() < deadline + ANSWER_S:
        session.turn(0.1)
        session.settle()
    return came_back


@contextmanager
def _visit(settings: Mqtt, client_id: str, topic: str, will: Will | None = None) -> Iterator[Session]:
    """A session that listens to a topic, with the last will that the broker takes. Raises :class:`BrokerError`."""
    wake, waker = socket.socketpair()
    with wake, waker:
        limits = Limits()
        while True:
            session = Session(settings, client_id, threading.Lock(), wake, (topic,), will=will)
            try:
                session.open(threading.Event())
            except BrokerError as error:
                session.close(graceful=False)
                known, limits = limits, limits.without(error.code, 0)
                if will is None or limits == known:
                    raise
                will = Will(will.topic, will.payload, min(1, limits.qos), limits.retains)
            else:
                break
        try:
            yield session
        finally:
            session.close(graceful=True)


def device_id(settings: Mqtt, topics: Topics) -> Check:
    """Look whether another agent has the same id, which the one that runs has told in its state.

    Not tried: whoever connects with the id throws out the agent that runs.
    """
    name, mine = "device id", topics.device_id
    try:
        told = _retained(settings, f"{mine}-doctor-id", topics.state)
    except BrokerError:
        return Check(name, Level.OK, f"{mine}; whether another agent has it too, only the broker knows")
    if told is None:
        return Check(name, Level.OK, f"{mine}; no agent has told its state under it, or it may not be read here")
    try:
        problem = State.decode(told).last_error or ""
    except ValueError:
        problem = ""  # of an agent of another version
    if problem.startswith(ID_TAKEN):
        cure = "give every device a device_id of its own, then start this agent again, which forgets it"
        return Check(name, Level.FAIL, problem, cure)
    return Check(name, Level.OK, f"{mine} is one agent's")


def own_id(check: Check, device_id: str) -> Check:
    """The same finding, but where all is well with an id that nobody chose: whoever reads it knows no box by it."""
    told = made_up(device_id)
    if told is None or check.level is not Level.OK:
        return check
    return replace(check, level=Level.WARN, finding=told, cure="set device_id in the configuration, as people call it")


def _retained(settings: Mqtt, client_id: str, topic: str) -> bytes | None:
    """What the broker keeps of a topic. Raises :class:`BrokerError`."""
    with _visit(settings, client_id, topic) as session:
        deadline = time.monotonic() + RETAINED_S
        while not session.arrived and session.alive and time.monotonic() < deadline:
            session.turn(0.1)
    return session.arrived[0].payload if session.arrived else None
