"""What the agents say about themselves, put together from the topics of one prefix."""

import difflib
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from agent.wire.messages import (
    OFFLINE,
    ONLINE,
    Event,
    Info,
    Keypoints,
    Message,
    MessageError,
    Metrics,
    State,
    rfc3339,
)
from agent.wire.topics import parse
from controller.client.connection import Received
from controller.errors import NoAnswerError

KINDS: Final[dict[str, type[Message]]] = {
    "info": Info,
    "state": State,
    "metrics": Metrics,
    "keypoints": Keypoints,
    "event": Event,
}


@dataclass(frozen=True, slots=True)
class Availability:
    """The one message of the wire that is plain text."""

    device_id: str
    availability: str


@dataclass(slots=True)
class Agent:
    """The newest message of each kind."""

    device_id: str
    availability: str | None = None
    info: Info | None = None
    state: State | None = None
    metrics: Metrics | None = None
    keypoints: Keypoints | None = None
    event: Event | None = None

    def forget_another_run(self) -> None:
        """Drop figures that the broker has kept of another run of the agent than its state is of."""
        state, metrics = self.state, self.metrics
        if state is None or metrics is None or None in (state.instance, metrics.instance):
            return
        if state.instance != metrics.instance and metrics.sent_at < state.sent_at:
            self.metrics = None

    @property
    def last_seen(self) -> datetime | None:
        """When it said the newest of what is known of it; of an agent that runs, that is a minute ago at most."""
        said = [each.sent_at for each in (self.info, self.state, self.metrics, self.keypoints, self.event) if each]
        return max(said, default=None)

    def row(self) -> dict[str, Any]:
        """One line of `controller list`. Of an agent that is not online, what it last did is not told as current."""
        online = self.availability == "online"
        state, metrics = (self.state, self.metrics) if online else (None, None)
        effective = state.effective if state else None
        return {
            "device_id": self.device_id,
            "availability": self.availability,
            "status": state.status.value if state else None,
            "model": state.requested.model if state else None,
            "device": ",".join(effective.execution_devices) if effective else None,
            "precision": effective.model_precision if effective else None,
            "fps": metrics.fps_mean if metrics else None,
            "latency_ms_p50": metrics.latency_ms_p50 if metrics else None,
            "persons": metrics.persons_mean if metrics else None,
            "last_seen": rfc3339(self.last_seen) if self.last_seen else None,
            "agent_version": self.info.agent_version if self.info else None,
        }


class Fleet:
    """Every agent seen. What cannot be understood is handed to ``complain`` as one line, and skipped."""

    def __init__(self, prefix: str, complain: Callable[[str], None]) -> None:
        self.agents: dict[str, Agent] = {}
        self.by_voice = False
        """Whether who speaks is online, unless it says otherwise: where the broker retains nothing."""
        self._prefix = prefix
        self._complain = complain

    def take(self, received: Received) -> Availability | Message | None:
        """Add a message; None for one that says nothing."""
        if not received.payload:  # how a retained topic is cleared
            return None
        try:
            return self._understand(received)
        except MessageError as error:
            self._complain(f"{printable(received.topic)}: not understood, skipped: {printable(error.reason)}")
            return None

    def require(self, device: str) -> Agent:
        """Return an agent by its id. Raises :class:`NoAnswerError` with the ids seen."""
        if device in self.agents:
            return self.agents[device]
        near = difflib.get_close_matches(device, self.agents, n=1)
        seen = ", ".join(sorted(self.agents)) or "none"
        guess = f"did you mean {near[0]}? " if near else ""
        raise NoAnswerError(f"no device {device!r} below {self._prefix!r} on this broker", hint=f"{guess}seen: {seen}")

    def _understand(self, received: Received) -> Availability | Message | None:
        place = parse(received.topic, self._prefix)
        if place is None:
            raise MessageError("not the topic of a device")
        device_id, leaf = place
        if leaf == "availability":
            if received.payload not in (ONLINE, OFFLINE):
                raise MessageError("expected 'online' or 'offline'")
            agent = self.agents.setdefault(device_id, Agent(device_id))
            agent.availability = received.payload.decode()
            return Availability(device_id, agent.availability)
        if leaf not in KINDS:
            return None
        message = KINDS[leaf].decode(received.payload)
        if message.device_id != device_id:
            raise MessageError(f"device_id: the body names another device, {message.device_id!r}")
        agent = self.agents.setdefault(device_id, Agent(device_id))
        setattr(agent, leaf, message)
        if self.by_voice and agent.availability is None:
            agent.availability = ONLINE.decode()
        agent.forget_another_run()
        return message


def printable(text: str) -> str:
    """Replace what would steer a terminal: anybody who may publish could have written it."""
    return "".join("�" if unicodedata.category(letter).startswith("C") else letter for letter in text)
