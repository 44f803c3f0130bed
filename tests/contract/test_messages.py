"""The messages: what is sent arrives, what arrives is understood or refused, nothing else."""

import contextlib
import json
import math
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from agent.wire.commands import Job, Reply
from agent.wire.messages import (
    MAX_MESSAGE_BYTES,
    Event,
    Info,
    Keypoints,
    Message,
    MessageError,
    Metrics,
    State,
    rfc3339,
)
from tests import samples
from tests.contract.strategies import messages

KINDS = [Info, State, Metrics, Keypoints, Event, Reply, Job]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
SAMPLES = [samples.info(), samples.state(), samples.metrics(), samples.keypoints(), samples.event()]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_round_trip(kind: type[Message], data: st.DataObject) -> None:
    """Every message that can be made comes out of its own JSON unchanged."""
    message = data.draw(messages(kind))
    assert kind.decode(message.encode()) == message


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
def test_every_message_names_itself(sample: Message) -> None:
    """Each body is a JSON object with schema, device_id and sent_at in RFC 3339, UTC, milliseconds."""
    body = json.loads(sample.encode())
    assert body["schema"] == f"edgepose.{type(sample).__name__.lower()}/1"
    assert body["device_id"] == "edge-1"
    assert body["sent_at"] == "2026-01-31T06:30:00.125Z"


@pytest.mark.parametrize("kind", KINDS)
@given(payload=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_give_a_message_or_an_error(kind: type[Message], payload: bytes) -> None:
    """Any bytes give a message or a MessageError, never anything else."""
    with contextlib.suppress(MessageError):
        assert isinstance(kind.decode(payload), kind)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
@given(data=st.data())
def test_any_damage_gives_a_message_or_an_error(sample: Message, data: st.DataObject) -> None:
    """A message with one value replaced by any other is understood or refused, never anything else."""
    body: dict[str, Any] = json.loads(sample.encode())
    body[data.draw(st.sampled_from(sorted(body)))] = data.draw(JSON)
    with contextlib.suppress(MessageError):
        assert isinstance(type(sample).decode(json.dumps(body).encode()), type(sample))


@pytest.mark.parametrize("payload", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b"", b"null", b"1e999"])
def test_hostile_bytes_are_refused(payload: bytes) -> None:
    """Deep nesting, no UTF-8, nothing at all: refused with a reason."""
    with pytest.raises(MessageError):
        State.decode(payload)


def test_too_much_is_refused_unread() -> None:
    """A payload over the limit is refused before it is parsed, with both sizes in the reason."""
    with pytest.raises(MessageError, match=str(MAX_MESSAGE_BYTES)):
        State.decode(b" " * (MAX_MESSAGE_BYTES + 1))


def test_a_newer_minor_version_is_read() -> None:
    """Keys the reader does not know are ignored at every depth."""
    body = json.loads(samples.state().encode())
    body["mood"] = body["camera"]["lens"] = body["effective"]["clock_mhz"] = [{"new": 1}]
    assert State.decode(json.dumps(body).encode()) == samples.state()


def test_another_major_version_is_refused() -> None:
    """A schema that is not ours is refused, and the reason names it."""
    body = json.loads(samples.state().encode()) | {"schema": "edgepose.state/2"}
    with pytest.raises(MessageError, match=r"schema.*edgepose\.state/1"):
        State.decode(json.dumps(body).encode())


def test_the_agent_cannot_send_an_unknown_key() -> None:
    """Making a message with a key outside the contract fails."""
    with pytest.raises(ValidationError):
        samples.metrics(mood="good")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_the_agent_cannot_send_what_is_no_number(number: float) -> None:
    """JSON has no NaN and no infinity: making such a message fails instead of sending null."""
    with pytest.raises(ValidationError):
        samples.metrics(fps_mean=number)


@given(st.datetimes(timezones=st.timezones(), min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29)))
def test_moments_are_utc_with_milliseconds(moment: datetime) -> None:
    """Whatever its zone, a moment is written in UTC, 24 characters long, and read back to the millisecond."""
    written = rfc3339(moment)
    assert len(written) == 24
    assert 0 <= (moment - datetime.fromisoformat(written)).total_seconds() < 0.001
