"""Signed commands: what is taken, what is not, and what a signature says."""

import json
import re
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.wire.codec import Refused, decode
from agent.wire.commands import Command, ErrorCode, Incoming, Proof
from agent.wire.messages import rfc3339
from agent.wire.topics import Topics, group_command
from agent.wire.trust import Key, KeyFileError, Terms, matches, read_keys, sign
from tests.fuzz.cases import GROUPS, NOW, cases
from tests.fuzz.codec import TOPICS as FUZZED

TOPICS = Topics("hall")
PAUSE = TOPICS.command("pause")
KEY, OTHER = Key(b"k" * 32), Key(b"o" * 64)
TERMS = Terms((OTHER, KEY), signature_required=True)
LATER = rfc3339(NOW + timedelta(minutes=1))
BODY = json.dumps({"id": "order-9", "expires_at": LATER, "reply_to": TOPICS.reply("me")}).encode()


def come(payload: bytes, topic: str = PAUSE, terms: Terms = TERMS, **properties: Any) -> Command | Refused:
    try:
        return decode(Incoming(topic, payload, False, NOW, **properties), TOPICS, ["gym"], terms)
    except Refused as refused:
        return refused


def code(came: Command | Refused) -> ErrorCode | None:
    return came.error.code if isinstance(came, Refused) else None


def test_a_signed_command_is_read() -> None:
    """What stands in the envelope is the command, with the name of its key and its sequence."""
    came = come(sign(KEY, PAUSE, 7, BODY))
    assert isinstance(came, Command)
    assert (came.name, came.id, came.proof) == ("pause", "order-9", Proof(KEY.name, 7))
    assert came.expires_at == NOW + timedelta(minutes=1)


def test_what_is_signed_wins() -> None:
    """Nobody on the way gives a signed command another id or more time, nor sends its reply elsewhere."""
    came = come(sign(KEY, PAUSE, 7, BODY), correlation=b"another", response_topic=TOPICS.reply("thief"), expiry_s=3600)
    assert isinstance(came, Command)
    assert (came.id, came.reply_to.topic, came.reply_to.correlation) == ("order-9", TOPICS.reply("me"), b"another")
    assert came.expires_at == NOW + timedelta(minutes=1)
    sooner = come(sign(KEY, PAUSE, 7, BODY), expiry_s=5)
    assert isinstance(sooner, Command)
    assert sooner.expires_at == NOW + timedelta(seconds=5)


def test_the_signature_is_that_of_the_page() -> None:
    """HMAC-SHA256 of topic, sequence and payload, a line each: a value computed with the openssl command."""
    # printf '%s\n%s\n%s' edgepose/hall/command/pause 7 '{}' | openssl dgst -sha256 -hmac "$(printf 'k%.0s' {1..32})"
    assert KEY.signature(PAUSE, 7, "{}") == ("ecf657055b25357f8e55b148a3dfb43fda93f7bc788dd2240105ac3f92539e78")


def test_the_lines_of_the_page_sign(tmp_path: Path) -> None:
    """What the page has a shell do with openssl and mosquitto_pub is a signed command that the box takes."""
    page = (Path(__file__).parents[2] / "docs/wire.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    (tmp_path / "key").write_bytes(KEY.secret + b"\n")
    stand_in = 'mosquitto_pub() { printf "%s" "$4"; }\n'
    command = ["bash", "-euo", "pipefail", "-c", stand_in + lines]
    sent = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
    came = decode(Incoming(PAUSE, sent, False, datetime.now(UTC)), TOPICS, (), TERMS)
    assert came.proof is not None
    assert came.id == f"order-{came.proof.sequence}"


@pytest.mark.parametrize(
    ("what", "payload"),
    [
        ("unsigned", BODY),
        ("empty", b""),
        ("another key", sign(Key(b"x" * 32), PAUSE, 7, BODY)),
        ("another device", sign(KEY, Topics("other").command("pause"), 7, BODY)),
        ("another command", sign(KEY, TOPICS.command("resume"), 7, BODY)),
        ("the group", sign(KEY, group_command("gym", "pause"), 7, BODY)),
        ("another sequence", sign(KEY, PAUSE, 7, BODY).replace(b'"sequence":7', b'"sequence":8')),
        ("another payload", sign(KEY, PAUSE, 7, BODY).replace(b"order-9", b"order-8")),
        ("truncated", sign(KEY, PAUSE, 7, BODY)[:-9]),
        ("a shorter signature", sign(KEY, PAUSE, 7, BODY)[:-4] + b'"}'),
        ("something beside it", sign(KEY, PAUSE, 7, BODY)[:-1] + b',"args":{}}'),
        ("no id", sign(KEY, PAUSE, 7, json.dumps({"expires_at": LATER}).encode())),
        ("no expiry", sign(KEY, PAUSE, 7, b'{"id": "order-9"}')),
        ("not JSON", b"\xff"),
    ],
    ids=lambda what: what if isinstance(what, str) else "",
)
def test_all_else_is_refused(what: str, payload: bytes) -> None:
    """What is not signed as it must be is refused for that reason, and the reply goes where it would."""
    came = come(payload, response_topic=TOPICS.reply("me"))
    assert code(came) is ErrorCode.UNTRUSTED, what
    assert isinstance(came, Refused)
    assert came.address is not None
    assert came.address.topic == TOPICS.reply("me")


def test_an_expired_one_is_refused() -> None:
    """The time in the signed part counts, whatever the broker says is left."""
    late = json.dumps({"id": "order-9", "expires_at": rfc3339(NOW)}).encode()
    assert code(come(sign(KEY, PAUSE, 7, late), expiry_s=60)) is ErrorCode.EXPIRED


def test_a_command_to_the_group_is_signed_for_the_group() -> None:
    """One signature for the group's topic is good for every member, and for no other group."""
    topic = group_command("gym", "pause")
    came = come(sign(KEY, topic, 7, BODY), topic)
    assert isinstance(came, Command)
    assert came.proof == Proof(KEY.name, 7)
    assert code(come(sign(KEY, group_command("halls", "pause"), 7, BODY), topic)) is ErrorCode.UNTRUSTED


def test_a_refusal_of_a_signed_one_goes_to_who_signed() -> None:
    """What can be read of a signed command that is refused says id and reply topic, without MQTT 5 too."""
    came = come(sign(Key(b"x" * 32), PAUSE, 7, BODY))
    assert isinstance(came, Refused)
    assert came.address is not None
    assert (came.id, came.address.topic) == ("order-9", TOPICS.reply("me"))


def test_both_are_taken_where_signatures_are_not_required() -> None:
    """Without the requirement an unsigned command is read as ever, a signed one checked."""
    either = replace(TERMS, signature_required=False)
    unsigned, signed = come(BODY, terms=either), come(sign(KEY, PAUSE, 7, BODY), terms=either)
    assert isinstance(unsigned, Command)
    assert isinstance(signed, Command)
    assert (unsigned.proof, signed.proof) == (None, Proof(KEY.name, 7))
    assert code(come(sign(Key(b"x" * 32), PAUSE, 7, BODY), terms=either)) is ErrorCode.UNTRUSTED


def test_a_box_without_keys_says_so() -> None:
    """A signed command to a box that has no key is refused, and the reason is told."""
    came = come(sign(KEY, PAUSE, 7, BODY), terms=Terms())
    assert code(came) is ErrorCode.UNTRUSTED
    assert "no key" in str(came)


def test_the_fuzz_finds_no_way_round() -> None:
    """Of all commands the fuzz makes up, valid and broken, a box that requires signatures takes none."""
    for case in cases(2000, seed=6):
        with pytest.raises(Refused):
            decode(case.incoming, FUZZED, GROUPS, TERMS)


def test_a_name_says_nothing_of_the_key() -> None:
    """Neither the name of a key nor what is printed of it holds the key or a part of it."""
    key = Key(b"correct-horse-battery-staple-0123456789")
    shown = f"{key} {key!r} {key.name} {TERMS}"
    assert not any(part in shown for part in ("correct", "horse", "0123456789", "kkkk"))
    assert KEY.name != OTHER.name


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no key"),
        ("# nothing\n\n", "holds no key"),
        ("short\n", "at least 32"),
        (f"{'k' * 31} k", "without spaces"),
    ],
)
def test_a_bad_key_file_is_named(tmp_path: Path, text: str, told: str) -> None:
    """The file is named and what is wrong with it, and nothing of what it holds."""
    file = tmp_path / "keys"
    file.write_text(text)
    with pytest.raises(KeyFileError, match=told) as error:
        read_keys(file)
    assert "short" not in str(error.value)
    assert "kkk" not in str(error.value)


def test_a_key_file_may_hold_several(tmp_path: Path) -> None:
    """One key a line, in order; what editors and comments leave is no key."""
    file = tmp_path / "keys"
    file.write_text(f"# anna\n{'a' * 64}\r\n\n# ben\n{'b' * 64}")
    assert read_keys(file) == (Key(b"a" * 64), Key(b"b" * 64))


@pytest.mark.parametrize(
    ("wanted", "topic", "fits"),
    [
        ("#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/#", "a", True),
        ("a/+/c", "a/b/c", True),
        ("a/+", "a/b/c", False),
        ("a/+/c", "a/b", False),
        ("a", "a/b", False),
        ("a/b", "a", False),
        ("+", "a", True),
        ("+", "a/b", False),
    ],
)
def test_filters_match_as_mqtt_says(wanted: str, topic: str, fits: bool) -> None:
    """The list of reply topics is read as a broker reads a subscription."""
    assert matches(wanted, topic) == fits


def test_replies_go_to_listed_topics_alone() -> None:
    """A reply topic outside of our prefix is written where the list has it; our own reply topics always."""
    listed = Terms(reply_topics=("home/+/replies",))
    for topic in ("home/hall/replies", TOPICS.reply("me")):
        came = come(b"", terms=listed, response_topic=topic)
        assert isinstance(came, Command)
        assert came.reply_to.topic == topic
    refused = come(b"", terms=listed, response_topic="home/door/set")
    assert code(refused) is ErrorCode.INVALID_PAYLOAD
    assert isinstance(refused, Refused)
    assert refused.address is not None
    assert refused.address.topic == TOPICS.reply("anonymous")
    assert "commands.reply_topics" in refused.error.message
