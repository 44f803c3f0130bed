"""A command as it came off the broker, read or refused: any bytes on any topic give a Command or a Refused.

What MQTT 5 says beside the payload wins over the payload: Response Topic over ``reply_to``, Correlation Data over
``id``, Message Expiry Interval over ``expires_at``. Not so with a signed command: what is signed wins.
"""

import re
import uuid
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, NoReturn

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic import create_model as make_model

from agent.wire.commands import (
    ARGS,
    COMMAND_BYTES_MAX,
    Address,
    Command,
    CommandError,
    ErrorCode,
    Incoming,
    Proof,
    Reply,
    ReplyError,
    ReplyStatus,
)
from agent.wire.messages import rfc3339
from agent.wire.part import Part
from agent.wire.topics import Topics
from agent.wire.trust import OPEN, Terms, opened
from agent.wire.wording import first_fault, nearest, place_of, shown, words_of

ANONYMOUS: Final = "anonymous"
"""The client that is answered when a command names no reply topic."""
ID_CHARS_MAX: Final = 128
CORRELATION_BYTES_MAX: Final = 4 * ID_CHARS_MAX
REPLY_TOPIC_CHARS_MAX: Final = 512

EXAMPLES: Final = {
    "set-device": '{"args": {"device": "CPU"}}',
    "set-precision": '{"args": {"precision": "FP16"}}',
    "set-model": '{"args": {"model": "movenet-multipose"}}',
    "set-affinity": '{"args": {"rules": [{"match": {"type": "Convolution"}, "device": "GPU"}], "default": "CPU"}}',
    "plan-affinity": '{"args": {"preset": "split"}}',
    "set-hint": '{"args": {"hint": "throughput"}}',
    "set-input": '{"args": {"long_side": 512}}',
    "set-zones": '{"args": {"zones": {"hall": {"polygon": [[0.1, 0.4], [0.6, 0.4], [0.6, 1.0]]}}}}',
    "set-paused": '{"args": {"paused": true}}',
    "set": '{"args": {"settings": {"camera.fps_max": 15, "tracking.keep_s": 30.0}}}',
    "unset": '{"args": {"keys": ["camera.fps_max"]}}',
    "get": '{"args": {"keys": ["camera.fps_max"]}}',
    "quantize": '{"args": {"frames": 300}}',
    "fetch": '{"args": {"name": "movenet-multipose"}}',
    "logs": '{"args": {"lines": 200}}',
    "benchmark": '{"args": {"runs": 3, "device": "GPU"}}',
    "tune": '{"args": {"fps": 10, "age_ms": 100, "apply": true}}',
    "sweep": '{"args": {"devices": ["CPU", "GPU"], "precisions": ["FP32", "FP16"]}}',
    "cancel": '{"args": {"id": "the id of a job"}}',
}
"""A payload of every command that takes arguments."""
_KEYS: Final = "commands.key_file of its configuration names the keys; docs/wire.md says what a signed command is"

_RFC3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})"
)


class Refused(Exception):  # noqa: N818 - an outcome, not a fault of this program
    """A command that is not carried out: why, and where to say so."""

    def __init__(self, error: CommandError, command: str, command_id: str, address: Address | None) -> None:
        super().__init__(error.message)
        self.error = error
        self.command = command
        self.id = command_id
        self.address = address
        """None where no reply can be sent: the topic is none of ours, or a retained command has been cleared."""


def decode(incoming: Incoming, topics: Topics, groups: Collection[str] = (), terms: Terms = OPEN) -> Command:
    """Read a command to the device of these topics or to one of its groups.

    Raises :class:`Refused` and nothing else.
    """
    name = topics.command_of(incoming.topic, groups)
    if name is None:
        error = CommandError(ErrorCode.NOT_FOUND, f"{shown(incoming.topic)} is no topic of a command to this device")
        raise Refused(error, "", _fresh_id(), None)
    try:
        return _read(incoming, name, topics, terms)
    except CommandError as error:
        command = name if name in ARGS else shown(name)[1:-1]
        # Clearing a retained command looks like a retained command without arguments.
        cleared = incoming.retained and not incoming.payload
        command_id, address = _sender(incoming, topics, terms)
        raise Refused(error, command, command_id, None if cleared else address) from None


def refusal(refused: Refused, device_id: str, state_version: int, now: datetime) -> Reply:
    """Make the reply that tells of a refusal."""
    return Reply(
        device_id=device_id,
        sent_at=now,
        id=refused.id,
        command=refused.command,
        status=ReplyStatus.REJECTED,
        error=ReplyError(code=refused.error.code, message=refused.error.message, hint=refused.error.hint),
        state_version=state_version,
    )


def _read(incoming: Incoming, name: str, topics: Topics, terms: Terms) -> Command:
    if len(incoming.payload) > COMMAND_BYTES_MAX:
        _refuse(ErrorCode.INVALID_PAYLOAD, f"payload: more than {COMMAND_BYTES_MAX} bytes", "send fewer rules")
    if incoming.retained:
        hint = "publish it without the retain flag, and clear what is retained with an empty retained message"
        _refuse(ErrorCode.RETAINED, "the command is retained: it would be carried out at every reconnect", hint)
    if name not in ARGS:
        meant = nearest(name, ARGS)
        hint = (f"did you mean {meant}? " if meant else "") + f"commands: {', '.join(ARGS)}"
        _refuse(ErrorCode.UNKNOWN_COMMAND, f"there is no command {shown(name)}", hint)
    payload, proof = opened(incoming, terms) if terms.keys else (incoming.payload, None)
    body = _body(name, payload)
    if proof is not None and (body.id is None or body.expires_at is None):
        _refuse(ErrorCode.UNTRUSTED, "a signed command says its id and expires_at", "sign them with the rest")
    given_id = _id_of(incoming.correlation)
    response_topic = None if proof is not None and body.reply_to else incoming.response_topic
    command = Command(
        name=name,
        id=(body.id if proof is not None else given_id) or body.id or _fresh_id(),
        args=body.args,
        reply_to=Address(_reply_topic(response_topic, body.reply_to, topics, terms), incoming.correlation),
        expires_at=_expiry(incoming, body, proof),
        if_version=body.if_version,
        proof=proof,
    )
    if command.expires_at is not None and command.expires_at <= incoming.received_at:
        told = f"expired at {rfc3339(command.expires_at)}, received at {rfc3339(incoming.received_at)}"
        _refuse(ErrorCode.EXPIRED, told, "send it again; where it was not late, compare the clocks of both machines")
    return command


def _refuse(code: ErrorCode, message: str, hint: str) -> NoReturn:
    raise CommandError(code, message, hint)


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("should have printable characters alone")
    return text


def _moment(given: object) -> object:
    if not isinstance(given, str):
        return given
    if not _RFC3339.fullmatch(given):
        raise ValueError("should be RFC 3339, for example 2026-01-31T06:30:00Z")
    try:
        return datetime.fromisoformat(given).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("is no date and time there is") from None


def _if_readable(given: object, check: ValidatorFunctionWrapHandler) -> object:
    try:
        return check(given)
    except ValidationError:
        return None


_Id = Annotated[str, Field(min_length=1, max_length=ID_CHARS_MAX), AfterValidator(_printable)]
_IfReadable = WrapValidator(_if_readable)


class _Body(Part):
    """Of every command; each says what its ``args`` are."""

    id: _Id | None = None
    reply_to: str | None = None
    expires_at: Annotated[AwareDatetime, BeforeValidator(_moment)] | None = None
    if_version: Annotated[int, Field(ge=0, le=2**53)] | None = None
    args: Any = None


class _Sender(BaseModel):
    """What can be read of a payload that is refused."""

    model_config = ConfigDict(cache_strings="keys")
    id: Annotated[_Id | None, _IfReadable] = None
    reply_to: Annotated[str | None, _IfReadable] = None
    signed: Annotated[str | None, _IfReadable] = None


def _with_args(kind: Any) -> type[_Body]:  # noqa: ANN401 - a type made at run time
    return make_model("Body", __base__=_Body, args=(kind | None, None))


_BODIES: Final = {name: _with_args(kind) for name, kind in ARGS.items()}


def _body(name: str, payload: bytes) -> _Body:
    """The payload of a command; with nothing for ``args`` it is as if they were empty."""
    kind = _BODIES[name]
    try:
        body = kind.model_validate_json(payload or b"{}", strict=True)
        if body.args is None:
            body = body.model_copy(update={"args": kind.model_validate_json(b'{"args": {}}').args})
    except ValidationError as error:
        raise _fault(error, name) from None
    return body


def _fault(error: ValidationError, name: str) -> CommandError:
    """One of the faults, in one line that names the place and what was expected."""
    first = first_fault(error)
    example = EXAMPLES.get(name)
    hint = f"for example {example}" if example else 'it takes no arguments: send nothing, or {"id": "..."}'
    match first["type"]:
        case "extra_forbidden":
            *parents, key = map(str, first["loc"])
            message = f"{'.'.join(parents) or 'payload'}: unknown field {shown(key)}"
            if not parents and key == "signed":
                return CommandError(ErrorCode.UNTRUSTED, "no well-formed signed command, or this box has no key", _KEYS)
            known = ARGS[name].model_fields if parents else _Body.model_fields
            if len(parents) < 2 and (meant := nearest(key, known)):
                hint = f"did you mean {meant}? {hint}"
        case _:
            message = f"{place_of(first) or 'payload'}: {words_of(first)}"
    return CommandError(ErrorCode.INVALID_PAYLOAD, message, hint)


def _fresh_id() -> str:
    return uuid.uuid4().hex


def _id_of(correlation: bytes | None) -> str | None:
    """The id Correlation Data gives: itself where it is printable text, else in hexadecimal digits."""
    if not correlation:
        return None
    if len(correlation) <= CORRELATION_BYTES_MAX:
        try:
            text = correlation.decode()
        except UnicodeDecodeError:
            text = ""
        if not text.isprintable() or not text:
            text = correlation.hex()
        if len(text) <= ID_CHARS_MAX:
            return text
    message = f"Correlation Data: {len(correlation)} bytes are too many for an id"
    hint = f"at most {ID_CHARS_MAX} printable characters, or {ID_CHARS_MAX // 2} bytes of any kind"
    _refuse(ErrorCode.INVALID_PAYLOAD, message, hint)


def _reply_topic(response_topic: str | None, reply_to: str | None, topics: Topics, terms: Terms) -> str:
    """Where the reply goes: nowhere below our prefix but to a client's own topic of this device.

    Who may command us could otherwise have us write what he may not write himself, such as another device's state. A
    broker cuts the connection over a topic with control characters, and nobody may publish on one with wildcards.
    """
    field, topic = ("Response Topic", response_topic) if response_topic is not None else ("reply_to", reply_to)
    if topic is None:
        return topics.reply(ANONYMOUS)
    if not topic or len(topic) > REPLY_TOPIC_CHARS_MAX or topic[0] == "$":
        told = f"should be a topic of 1 to {REPLY_TOPIC_CHARS_MAX} characters that does not start with $"
    elif not topic.isprintable() or "+" in topic or "#" in topic:
        told = "should be a topic without wildcards, of printable characters alone"
    elif topic != topics.prefix and not topic.startswith(f"{topics.prefix}/"):
        if terms.may_reply_to(topic):
            return topic
        told = "outside of our prefix it should be on the box's list, commands.reply_topics"
    elif (client := topics.client_of(topic)) is not None:
        return topics.reply(client)
    else:
        told = f"below {topics.prefix}/ it should be {topics.reply('<client>')}"
    hint = f"or leave it out, and the reply goes to {topics.reply(ANONYMOUS)}"
    _refuse(ErrorCode.INVALID_PAYLOAD, f"{field}: {told}", hint)


def _expiry(incoming: Incoming, body: _Body, proof: Proof | None) -> datetime | None:
    if incoming.expiry_s is None:
        return body.expires_at
    told = incoming.received_at + timedelta(seconds=incoming.expiry_s)
    return told if proof is None or body.expires_at is None else min(told, body.expires_at)


def _sender(incoming: Incoming, topics: Topics, terms: Terms) -> tuple[str, Address]:
    """Read id and reply address of a command that is refused, as far as they can be read."""
    sender, command_id, topic, correlation = _Sender(), None, topics.reply(ANONYMOUS), incoming.correlation
    if len(incoming.payload) <= COMMAND_BYTES_MAX:
        with suppress(ValidationError):
            sender = _Sender.model_validate_json(incoming.payload)
            if sender.signed is not None:
                sender = _Sender.model_validate_json(sender.signed)
    with suppress(CommandError):
        command_id = _id_of(incoming.correlation)
    with suppress(CommandError):
        topic = _reply_topic(incoming.response_topic, sender.reply_to, topics, terms)
    if correlation is not None and len(correlation) > CORRELATION_BYTES_MAX:
        correlation = None
    return command_id or sender.id or _fresh_id(), Address(topic, correlation)
