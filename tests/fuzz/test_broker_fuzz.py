"""The short version of what runs on its own, and that its oracle notices."""

from dataclasses import replace

import pytest

from agent.wire.commands import ErrorCode, Reply, ReplyError, ReplyStatus
from models.shelf.store import Store
from tests import samples
from tests.fuzz.cases import DEVICE, Chance
from tests.fuzz.codec import ViolationError
from tests.fuzz.flood import flood, own
from tests.fuzz.oracle import Heard, Letter, Oracle


def test_an_agent_under_generated_and_mutated_commands(store: Store) -> None:
    """Each is answered once with what is due, the accepted changes and nothing else have an effect, nothing dies."""
    assert store.card("movenet-multipose")
    outcomes = flood(300, seed=2)
    assert outcomes["change", "done"] == outcomes["change", "same again"] == 2
    assert outcomes["last question", "succeeded"] == 1


def oracle() -> Oracle:
    return Oracle(samples.info(DEVICE), samples.state(DEVICE))


def test_the_oracle_notices() -> None:
    """A reply with another status, version, result, id, address or correlation is a violation, as is another repeat."""
    letter = Letter.of(own(Chance(1), "pause", "pause"))
    assert not isinstance(letter.came, Exception)
    address = letter.came.reply_to
    reply = Reply(
        device_id=DEVICE,
        sent_at=samples.NOW,
        id=letter.came.id,
        command="pause",
        status=ReplyStatus.SUCCEEDED,
        result={"paused": True},
        state_version=2,
    )
    right = Heard(address.topic, reply.encode(), address.correlation, 1, retain=False)
    told = oracle()
    assert told.judge(letter, right) == "done"
    assert told.judge(letter, right) == "same again"
    with pytest.raises(ViolationError, match="another reply than the stored"):
        told.judge(letter, replace(right, payload=right.payload + b" "))
    error = ReplyError(code=ErrorCode.BUSY, message="not now")
    changes = (
        {"status": ReplyStatus.FAILED},
        {"status": ReplyStatus.REJECTED, "error": error, "result": None},
        {"state_version": 1},
        {"result": {"paused": False}},
        {"id": "another"},
        {"command": "resume"},
        {"device_id": "another"},
    )
    wrong = [replace(right, payload=reply.model_copy(update=change).encode()) for change in changes]
    wrong += [replace(right, topic="elsewhere"), replace(right, correlation=b"other"), replace(right, payload=b"{}")]
    for heard in wrong:
        with pytest.raises(ViolationError):
            oracle().judge(letter, heard)
