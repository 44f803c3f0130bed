"""Commands off the broker: what MQTT's properties and the body say, and how a refusal reads.

What any bytes come to is held in tests/fuzz.
"""

import gc
import json
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic_core import to_json

from agent.wire.codec import EXAMPLES, Refused, decode, refusal
from agent.wire.commands import ARGS, Address, Command, ErrorCode, Incoming, NoArgs, Reply
from agent.wire.topics import Topics, group_command

TOPICS = Topics("hall")
NOW = datetime(2026, 1, 31, 6, 30, 0, 125000, UTC)


def incoming(payload: bytes = b"", name: str = "pause", **changes: Any) -> Incoming:
    return replace(Incoming(TOPICS.command(name), payload, retained=False, received_at=NOW), **changes)


def read(payload: bytes = b"", name: str = "pause", **changes: Any) -> Command:
    return decode(incoming(payload, name, **changes), TOPICS, ["gym"])


def refused(payload: bytes = b"", name: str = "pause", **changes: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        read(payload, name, **changes)
    return caught.value


def test_an_empty_payload_is_a_command() -> None:
    """Nothing at all is a command without arguments; it gets an id of its own and is answered to `anonymous`."""
    one, other = read(), read()
    assert (one.name, one.args, one.expires_at, one.if_version) == ("pause", NoArgs(), None, None)
    assert one.reply_to == Address("edgepose/hall/reply/anonymous")
    assert one.id != other.id


@pytest.mark.parametrize("name", ARGS)
def test_examples_are_commands(name: str) -> None:
    """The payload a refusal proposes is accepted; what has none goes without arguments."""
    assert read(EXAMPLES.get(name, "").encode(), name).name == name


def test_the_body_says_everything() -> None:
    """A client of MQTT 3.1.1 has no properties and needs none."""
    command = read(
        b'{"id": "a", "reply_to": "edgepose/hall/reply/me", "expires_at": "2026-01-31T07:31:00+01:00", "if_version": 3}'
    )
    expires_at = datetime(2026, 1, 31, 6, 31, tzinfo=UTC)
    assert command == Command("pause", "a", NoArgs(), Address("edgepose/hall/reply/me"), expires_at, 3)


def test_properties_win_over_the_body() -> None:
    """Response Topic, Correlation Data and Message Expiry Interval count, whatever the body says."""
    command = read(
        b'{"id": "a", "reply_to": "edgepose/other/state", "expires_at": "2000-01-01T00:00:00Z"}',
        response_topic="edgepose/hall/reply/me",
        correlation=b"b",
        expiry_s=60,
    )
    assert command.id == "b"
    assert command.reply_to == Address("edgepose/hall/reply/me", b"b")
    assert command.expires_at == NOW + timedelta(seconds=60)


@pytest.mark.parametrize(
    ("correlation", "command_id"),
    [
        (b"order-7", "order-7"),
        ("bühne".encode(), "bühne"),
        (b"\x00\xff", "00ff"),
        (b"a\nb", "610a62"),
        (b"x" * 128,) * 2,
    ],
)
def test_correlation_data_is_the_id(correlation: bytes, command_id: bytes | str) -> None:
    """As it is where it can be printed, else in hexadecimal digits; in the reply it goes back untouched."""
    command = read(b'{"id": "a"}', correlation=correlation)
    assert command.id == (command_id if isinstance(command_id, str) else command_id.decode())
    assert command.reply_to.correlation == correlation


def test_a_group_is_answered_by_each_device() -> None:
    """A command to a group names one reply topic of the group; each device answers on its own."""
    topic = group_command("gym", "pause")
    assert read(topic=topic, response_topic="edgepose/_group/gym/reply/me").reply_to.topic == "edgepose/hall/reply/me"
    assert refused(topic=group_command("pool", "pause")).address is None


def test_a_reply_may_go_outside_of_the_prefix() -> None:
    """Who lives elsewhere on the broker names a topic of his own."""
    assert read(response_topic="home/me").reply_to == Address("home/me")
    assert read(response_topic="edgeposes").reply_to == Address("edgeposes")


@pytest.mark.parametrize(
    "topic", ["edgepose/hall/state", "edgepose/other/reply/me", "edgepose", "a/#", "a\0", "$SYS/a", ""]
)
@pytest.mark.parametrize("place", ["Response Topic", "reply_to"])
def test_nobody_makes_us_write_elsewhere(topic: str, place: str) -> None:
    """A reply topic that is a state, another device's, or no topic is refused, and told to the anonymous client."""
    if place == "reply_to":
        caught = refused(to_json({"id": "a", "reply_to": topic}))
    else:
        caught = refused(b'{"id": "a"}', response_topic=topic)
    assert caught.error.code == ErrorCode.INVALID_PAYLOAD
    assert caught.error.message.startswith(f"{place}: ")
    assert (caught.id, caught.address) == ("a", Address("edgepose/hall/reply/anonymous"))


@pytest.mark.parametrize(
    ("name", "payload", "message", "hint"),
    [
        ("pause", b"{", "payload: not JSON: EOF", "it takes no arguments"),
        ("pause", b"[]", "payload: should be an object", "it takes no arguments"),
        ("pause", b" " * 16385, "payload: more than 16384 bytes", "fewer"),
        ("pause", b"[" * 16384, "payload: not JSON: recursion limit exceeded", ""),
        ("pause", b'{"if_vesion": 1}', "payload: unknown field 'if_vesion'", "did you mean if_version?"),
        ("pause", b'{"args": {"a": 1}}', "args: unknown field 'a'", "it takes no arguments"),
        ("pause", b'{"id": 7}', "id: should be a text", ""),
        ("pause", b'{"id": "a\\nb"}', "id: should have printable characters alone", ""),
        ("pause", b'{"if_version": "1"}', "if_version: should be a whole number", ""),
        ("pause", b'{"expires_at": "1767225600"}', "expires_at: should be RFC 3339", ""),
        ("set-device", b"", "args.device: missing", '{"args": {"device": "CPU"}}'),
        ("set-device", b'{"device": "CPU"}', "payload: unknown field 'device'", '{"args": {"device": "CPU"}}'),
        ("set-device", b'{"args": {"devise": "CPU"}}', "args: unknown field 'devise'", "did you mean device?"),
        ("set-precision", b'{"args": {"precision": "INT4"}}', "args.precision: should be 'FP32', 'FP16' or 'INT8'", ""),
        ("set-affinity", b'{"args": {}}', "args: give a preset, or rules; not both", '"rules"'),
        (
            "set-affinity",
            b'{"args": {"rules": [{"match": {"frist": 0.5}, "device": "CPU"}]}}',
            "args.rules.0.match: unknown field 'frist'",
            '"rules"',
        ),
    ],
)
def test_a_refusal_names_the_place_and_the_cure(name: str, payload: bytes, message: str, hint: str) -> None:
    """Each fault of a payload is told in one line that says where it is, with what would be right."""
    caught = refused(payload, name)
    assert caught.error.code == ErrorCode.INVALID_PAYLOAD
    assert caught.error.message.startswith(message)
    assert hint in caught.error.hint


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"retained": True}, ErrorCode.RETAINED),
        ({"expiry_s": 0}, ErrorCode.EXPIRED),
        ({"payload": b'{"id": "a", "expires_at": "2026-01-31T06:30:00.125Z"}'}, ErrorCode.EXPIRED),
        ({"topic": TOPICS.command("puase")}, ErrorCode.UNKNOWN_COMMAND),
    ],
)
def test_refusals_before_the_arguments(changes: dict[str, Any], code: ErrorCode) -> None:
    """Retained, expired and unknown commands are refused with their code, and who sent them is told."""
    caught = refused(**{"payload": b'{"id": "a"}', "response_topic": "edgepose/hall/reply/me", **changes})
    assert (caught.error.code, caught.id) == (code, "a")
    assert caught.address == Address("edgepose/hall/reply/me")


def test_a_misspelt_command_is_guessed() -> None:
    """The hint names the command that was probably meant, and all there are."""
    caught = refused(name="set-devise")
    assert caught.error.hint.startswith("did you mean set-device? commands: set-device, ")
    assert caught.command == "set-devise"


def test_clearing_a_retained_command_is_not_answered() -> None:
    """The cure for a retained command, an empty retained message, neither does anything nor is answered."""
    caught = refused(retained=True)
    assert (caught.error.code, caught.address) == (ErrorCode.RETAINED, None)


def test_a_refusal_is_a_reply() -> None:
    """It says `rejected`, the code, what is wrong and the cure, under the command's id."""
    reply = refusal(refused(b'{"id": "a"}', "puase"), "hall", 7, NOW)
    assert Reply.decode(reply.encode()) == reply
    assert (reply.id, reply.command, reply.status, reply.state_version) == ("a", "puase", "rejected", 7)
    assert reply.error is not None
    assert (reply.error.code, reply.error.message) == ("unknown_command", "there is no command 'puase'")


def test_commands_leave_nothing_behind() -> None:
    """Months of ids cost no memory: a thousand commands and a thousand refusals more, and it holds what it held."""

    def hear(first: int) -> None:
        for number in range(first, first + 1000):
            read(b'{"id": "an id of its own %d"}' % number)
            refused(b'{"id": "and another %d", "args": {"unknown": "value %d"}}' % (number, number))

    hear(0)
    tracemalloc.start()
    try:
        hear(1000)
        gc.collect()  # errors hold their traceback, which holds them
        held_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held_bytes < 20_000


def test_every_command_with_arguments_has_an_example_that_holds() -> None:
    """Nobody is told that a command takes no arguments which does, and each example is taken as it stands."""
    assert {name for name, kind in ARGS.items() if kind.model_fields} == EXAMPLES.keys()
    for name, example in EXAMPLES.items():
        given = json.loads(example)["args"]
        assert ARGS[name].model_validate_json(json.dumps(given)).model_dump(exclude_unset=True).keys() == given.keys()
