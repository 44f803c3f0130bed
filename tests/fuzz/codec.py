"""Commands through the codec alone, each compared with what must come of it."""

import json
import sys
import time
from collections import Counter
from typing import Final

from agent.wire.codec import Refused, decode, refusal
from agent.wire.commands import Command, Incoming, Reply, ReplyStatus
from agent.wire.topics import Topics
from tests.fuzz.cases import ANONYMOUS, DEVICE, GROUPS, NOW, PREFIX, Case, cases

TOPICS: Final = Topics(DEVICE, PREFIX)
REFUSAL_BYTES_MAX: Final = 4096


class ViolationError(AssertionError):
    """Something came out that must not."""

    def __init__(self, what: str, came: object, case: Case | None = None) -> None:
        told = f"{case.kind}: {what}\n  incoming {case.incoming}\n  expected {case.expected}" if case else what
        super().__init__(f"{told}\n  came {came!r}")


def run(incoming: Incoming) -> Command | Refused:
    """Decode; whatever else the codec raises goes through."""
    try:
        return decode(incoming, TOPICS, GROUPS)
    except Refused as refused:
        return refused


def check(case: Case, came: Command | Refused) -> str:
    """Name the outcome. Raises ViolationError when it is not what must come."""
    if isinstance(came, Command):
        _check_command(case, came)
        return "command"
    _check_refused(case, came)
    return str(came.error.code)


def _demand(true: bool, case: Case, what: str, came: object) -> None:
    if not true:
        raise ViolationError(what, came, case)


def _told(command: Command) -> dict[str, object]:
    return {
        "name": command.name,
        "args": command.args.model_dump(mode="json", exclude_unset=True),
        "expires_at": command.expires_at,
        "if_version": command.if_version,
    }


def _check_command(case: Case, came: Command) -> None:
    expected = case.expected
    _demand(expected.code is None, case, "accepted what must be refused", came)
    _demand(bool(came.id), case, "no id", came)
    _demand(_harmless(came.reply_to.topic), case, "a reply topic that is not the sender's", came)
    if expected.command is not None:
        _demand(_told(came) == expected.command, case, "another command", _told(came))
        _check_sender(case, came.id, came.reply_to.topic, came.reply_to.correlation, came)
        return
    # A mutant: whatever it has become, it is what any other parser of JSON reads.
    payload = json.loads(case.incoming.payload or b"{}")
    _demand(set(payload) <= {"id", "reply_to", "expires_at", "if_version", "args"}, case, "unknown fields", came)
    _demand(_told(came)["args"] == (payload.get("args") or {}), case, "other arguments", came)
    _demand(came.if_version == payload.get("if_version"), case, "another version", came)


def _check_refused(case: Case, came: Refused) -> None:
    expected = case.expected
    _demand(expected.command is None, case, "refused what is valid", came)
    _demand(expected.code in {None, came.error.code}, case, "another code", came.error.code)
    for text in (came.error.message, came.error.hint, came.command, came.id):
        _demand(text.isprintable(), case, "a text that is not one printable line", text)
    reply = refusal(came, DEVICE, 7, NOW)
    encoded = reply.encode()
    _demand(len(encoded) <= REFUSAL_BYTES_MAX, case, "a reply too long", encoded)
    _demand(Reply.decode(encoded) == reply, case, "a reply that is not read back", encoded)
    _demand(reply.status == ReplyStatus.REJECTED, case, "another status", encoded)
    if came.address is not None:
        _demand(_harmless(came.address.topic), case, "a reply topic that is not the sender's", came.address)
    if expected.code is not None:
        topic, correlation = (came.address.topic, came.address.correlation) if came.address else (None, None)
        _check_sender(case, came.id, topic, correlation, came.address)


def _check_sender(case: Case, command_id: str, topic: str | None, correlation: bytes | None, came: object) -> None:
    expected = case.expected
    _demand(bool(command_id) and expected.id in {None, command_id}, case, "another id", command_id)
    _demand(topic == expected.reply_topic, case, "another reply topic", came)
    _demand(topic is None or correlation == expected.correlation, case, "other correlation data", came)


def _harmless(topic: str) -> bool:
    """Nothing below our prefix but a reply topic of this device, and nothing a broker would refuse."""
    own = topic.startswith(f"{PREFIX}/{DEVICE}/reply/") and topic.count("/") == ANONYMOUS.count("/")
    below = topic == PREFIX or topic.startswith(f"{PREFIX}/")
    return topic.isprintable() and not set(topic) & set("+#") and topic[:1] not in {"", "$"} and (own or not below)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def codec(count: int, seed: int) -> Counter[tuple[str, str]]:
    """Decode so many cases and check each; print how many a second the codec alone took."""
    outcomes: Counter[tuple[str, str]] = Counter()
    spent_s = slowest_s = 0.0
    for case in cases(count, seed):
        began_s = time.thread_time()
        came = run(case.incoming)
        took_s = time.thread_time() - began_s
        spent_s, slowest_s = spent_s + took_s, max(slowest_s, took_s)
        outcomes[case.kind, check(case, came)] += 1
    say(f"{count} payloads, {count / spent_s:.0f} a second of one core, the slowest {slowest_s * 1e3:.1f} ms")
    return outcomes
