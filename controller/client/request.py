"""One command to one device or to several: who is addressed, the request, and what they answer."""

import json
import math
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import JsonValue, ValidationError

from agent.wire.commands import ARGS, COMMAND_BYTES_MAX, ErrorCode, Reply, ReplyStatus
from agent.wire.messages import Event, MessageError, rfc3339
from agent.wire.topics import Topics, every_device, group_command, group_reply, parse
from agent.wire.trust import sign
from agent.wire.wording import in_words
from controller.client.connection import Received
from controller.client.fleet import printable
from controller.client.session import Session
from controller.client.target import Target
from controller.errors import UsageError

SIGNED_FOR_MIN_S: Final = 60.0
"""A signed command is good for at least so long: the clocks of box and controller may differ."""
SILENCE_S: Final = 5.0
"""A box answers or acknowledges a command at once: after so long it is told that one has not."""
SENT: Final = "sent"
"""Status of a command whose reply is not waited for."""
NO_ANSWER: Final = "no_answer"
SCHEMA: Final = "edgepose.reply/1"
OFFLINE: Final = "offline"
UNHEARD: Final = "the broker says that nobody takes its commands, as of a recording that is replayed"
EXIT_CODES: Final = {
    SENT: 0,
    ReplyStatus.SUCCEEDED: 0,
    ReplyStatus.ACCEPTED: 0,
    ReplyStatus.REJECTED: 4,
    NO_ANSWER: 3,
    OFFLINE: 3,
}
"""Every other status is a failure."""
FAILED: Final = 1
WORST_FIRST: Final = (FAILED, 4, 3, 0)


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done. Raises :class:`UsageError` for what a device would not read."""

    command: str
    args: Mapping[str, JsonValue]
    answer_s: float
    """How long an answer may take."""
    if_version: int | None = None
    """Refuse it unless this is the version of the device's state."""

    def __post_init__(self) -> None:
        try:
            ARGS[self.command].model_validate(self.args)
        except ValidationError as error:
            raise UsageError(in_words(error, self.command)) from None
        self.body("", "")

    def body(self, id_: str, reply_to: str, expires_at: datetime | None = None) -> bytes:
        """Make the payload."""
        # Unsigned without expires_at: the clock of a box may be wrong, while the broker counts the message's own down.
        body: dict[str, Any] = {"id": id_, "reply_to": reply_to, "args": self.args}
        if self.if_version is not None:
            body["if_version"] = self.if_version
        if expires_at is not None:
            body["expires_at"] = rfc3339(expires_at)
        return bounded(json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode())


def bounded(payload: bytes) -> bytes:
    """Return a payload that devices take. Raises :class:`UsageError`."""
    if len(payload) > COMMAND_BYTES_MAX:
        raise UsageError(f"the command has {len(payload)} bytes; devices take {COMMAND_BYTES_MAX}")
    return payload


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended on one device; without a reply, ``status`` and ``silence`` say why there is none."""

    device_id: str
    id: str
    command: str
    reply: Reply | None = None
    status: str = NO_ANSWER
    silence: str = ""
    left_out: bool = False
    """Offline, where whoever is online was addressed."""

    @classmethod
    def of(cls, reply: Reply) -> "Outcome":
        """Take what a device has answered."""
        return cls(reply.device_id, reply.id, reply.command, reply, reply.status)

    @property
    def exit_code(self) -> int:
        """What the controller ends with."""
        if self.reply is not None and self.reply.error is not None and self.reply.error.code is ErrorCode.NOT_FOUND:
            return EXIT_CODES[NO_ANSWER]
        return 0 if self.left_out else EXIT_CODES.get(self.status, FAILED)

    def as_json(self) -> dict[str, Any]:
        """Return the reply as it stood on the wire, or the same keys where there is none."""
        if self.reply is not None:
            return self.reply.model_dump(mode="json", by_alias=True)
        error = {"code": self.status, "message": self.silence, "hint": ""} if self.silence else None
        known = {
            "schema": SCHEMA,
            "device_id": self.device_id,
            "id": self.id,
            "command": self.command,
            "status": self.status,
        }
        return known | {"error": error, "result": None, "state_version": None}


def exit_code(codes: list[int]) -> int:
    """Return the code for several devices: that of a failure, else of a refusal, else of a silence, else 0."""
    return next(code for code in WORST_FIRST if code in {*codes, 0})


class Request:
    """A command on its way; the order of calls is :meth:`send`, :meth:`collect`, :meth:`outcomes`."""

    def __init__(self, session: Session, target: Target, order: Order) -> None:
        self.session = session
        self.target = target
        self.order = order
        self.id = str(uuid.uuid4())
        self.sent_at = math.nan
        """On the monotonic clock."""
        self.said: dict[str, Event] = {}
        """Of each device the last event about this command; the first acknowledges it."""
        self.unheard: set[str] = set()
        """Devices of which the broker says that they have not subscribed to their commands."""
        self._online: list[str] = []
        self._offline: list[str] = []
        self._replies: dict[str, Reply] = {}

    def send(self) -> None:
        """Find out who is addressed and publish to those who are online.

        Raises :class:`NoAnswerError` when nobody is known by that name.
        """
        self._address()
        client, prefix = self.session.client, self.session.prefix
        if self.target.single:
            (device,) = [*self._online, *self._offline]
            client.subscribe([self.session.of_every(f"reply/{client.name}", device)], qos=1)
            client.subscribe([Topics(device, prefix).state, Topics(device, prefix).event])
        else:
            client.subscribe([every_device(f"reply/{client.name}", prefix)], qos=1)
            client.subscribe([every_device(leaf, prefix) for leaf in ("state", "event")])
        self.sent_at = time.monotonic()
        for topic, reply_to, devices in self._ways():
            taken = client.request(
                topic,
                self._payload(topic, reply_to),
                reply_to=reply_to,
                correlation=self.id.encode(),
                expiry_s=max(1, math.ceil(self.order.answer_s)),
            )
            if not taken:
                self.unheard.update(devices)

    def _payload(self, topic: str, reply_to: str) -> bytes:
        if self.session.key is None:
            return self.order.body(self.id, reply_to)
        expires_at = datetime.now(UTC) + timedelta(seconds=max(SIGNED_FOR_MIN_S, self.order.answer_s))
        # Microseconds since 1970: nobody has to remember what was sent last.
        return bounded(
            sign(self.session.key, topic, time.time_ns() // 1000, self.order.body(self.id, reply_to, expires_at))
        )

    def collect(self, look: Callable[[], None] = lambda: None, *, every_s: float = math.inf) -> None:
        """Wait until everybody has answered or the time is over; ``look`` is called every ``every_s`` seconds.

        Whom the broker knows to hear nothing is not waited for longer than :data:`SILENCE_S`.
        """
        next_s = self.sent_at + every_s
        while self.waiting and (now := time.monotonic()) < (end := self._end()):
            if now >= next_s:
                look()
                next_s = now + every_s
            for received in self.session.client.messages(min(end, next_s)):
                self._take(received)
                if not self.waiting:
                    return

    def _end(self) -> float:
        """When the wait is over, on the monotonic clock."""
        hopeless = self.unheard.issuperset(self.waiting)
        return self.sent_at + (min(SILENCE_S, self.order.answer_s) if hopeless else self.order.answer_s)

    @property
    def silent(self) -> tuple[str, ...]:
        """Those who have neither answered nor said anything of this command."""
        return tuple(device for device in self.waiting if device not in self.said)

    @property
    def waiting(self) -> tuple[str, ...]:
        """Those who have not answered yet."""
        return tuple(device for device in self._online if device not in self._replies)

    def outcomes(self, *, waited: bool = True) -> list[Outcome]:
        """Return how it ended for each device addressed, by id."""
        found = [Outcome.of(reply) for reply in self._replies.values()]
        for device in self.waiting:
            if waited:
                found.append(self._without(device, NO_ANSWER, self._silence(device)))
            else:
                found.append(self._without(device, SENT, ""))
        left_out = self.target.everybody and bool(self._online)
        missed = [self._without(device, OFFLINE, "offline, not sent") for device in self._offline]
        found += [replace(each, left_out=left_out) for each in missed]
        return sorted(found, key=lambda outcome: outcome.device_id)

    def _without(self, device: str, status: str, silence: str) -> Outcome:
        return Outcome(device, self.id, self.order.command, None, status, silence)

    def _silence(self, device: str) -> str:
        gone = self.session.fleet.agents[device].availability != "online"
        waited_s = min(time.monotonic() - self.sent_at, self.order.answer_s)
        told = f"no answer within {waited_s:.0f} s"
        if gone:
            return f"{told}, and it has gone offline"
        if device in self.unheard:
            return f"{told}: {UNHEARD}"
        return told if device in self.said else f"{told}, nor a word that it has the command"

    def _address(self) -> None:
        for device in self.target.find(self.session):
            online = self.session.fleet.agents[device].availability == "online"
            (self._online if online else self._offline).append(device)

    def _ways(self) -> list[tuple[str, str, list[str]]]:
        """Topic of each publication, where its replies go, and who is to hear it."""
        client, prefix = self.session.client.name, self.session.prefix
        if self.target.group is not None:
            group = self.target.group
            way = (group_command(group, self.order.command, prefix), group_reply(group, client, prefix), self._online)
            return [way] if self._online else []
        topics = [Topics(device, prefix) for device in self._online]
        return [(each.command(self.order.command), each.reply(client), [each.device_id]) for each in topics]

    def _take(self, received: Received) -> None:
        device, leaf = parse(received.topic, self.session.prefix) or ("", "")
        if leaf != f"reply/{self.session.client.name}":
            message = self.session.fleet.take(received)
            if isinstance(message, Event) and message.facts.get("id") == self.id:
                self.said[device] = message
            return
        try:
            reply = self._understand(device, received)
        except MessageError as error:
            self.session.complain(f"{printable(received.topic)}: a reply, ignored: {printable(error.reason)}")
            return
        # QoS 1 may deliver twice. In a group somebody may answer whose birth message is not there yet.
        self._replies.setdefault(device, reply)

    def _understand(self, device: str, received: Received) -> Reply:
        reply = Reply.decode(received.payload)
        if reply.device_id != device:
            raise MessageError(f"device_id: the body names another device, {reply.device_id!r}")
        # Correlation data is ours whatever the device could read of the body; brokers and bridges may drop it.
        ours = received.correlation == self.id.encode() if received.correlation else reply.id == self.id
        if not ours:
            raise MessageError("it answers another command")
        if device not in self._online and self.target.group is None:
            raise MessageError("this device was not asked")
        return reply


def command(
    session: Session, device: str, name: str, args: Mapping[str, JsonValue] | None = None, *, answer_s: float = 180.0
) -> Outcome:
    """Have one box carry out a command, and wait for its reply, for at most ``answer_s`` seconds.

    What a box refuses or fails at is no exception: ``outcome.status`` and ``outcome.reply.error`` say so. Raises
    :class:`NoAnswerError` for a box nobody knows, :class:`UsageError` for arguments no box would read, and
    :class:`BrokerUnreachableError`.
    """
    request = Request(session, Target(device=device), Order(name, args or {}, answer_s))
    request.send()
    request.collect()
    (outcome,) = request.outcomes()
    return outcome
