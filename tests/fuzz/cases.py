"""Commands as they might come off a broker: valid ones, broken ones, and bytes out of which anything may come.

Every generator says itself what must come out; none asks the codec. The reply topics, ids and error codes follow
docs/wire.md.
"""

import json
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

from agent.wire.commands import COMMAND_BYTES_MAX, ErrorCode, Incoming

DEVICE: Final = "hall"
PREFIX: Final = "edgepose"
GROUPS: Final = ("gym", "upstairs")
NOW: Final = datetime(2026, 1, 31, 6, 30, 0, 125000, UTC)
ANONYMOUS: Final = f"{PREFIX}/{DEVICE}/reply/anonymous"

LETTERS: Final = string.ascii_letters + string.digits + " äß中🏋'\"\\/:.-_"
NAMES: Final = (
    "set-device",
    "set-precision",
    "set-model",
    "set-affinity",
    "plan-affinity",
    "set-hint",
    "set-input",
    "set-zones",
    "set-paused",
    "quantize",
    "fetch",
    "logs",
    "cancel",
    "pause",
    "resume",
    "snapshot",
    "describe",
    "jobs",
)


@dataclass(frozen=True)
class Expected:
    """What must come out: a command with these values, or a refusal with this code; both None where either may."""

    command: dict[str, Any] | None = None
    """name, args, expires_at, if_version."""
    code: ErrorCode | None = None
    id: str | None = None
    """None where any will do."""
    reply_topic: str | None = ANONYMOUS
    """None where no reply can be sent."""
    correlation: bytes | None = None


@dataclass(frozen=True)
class Case:
    """A command, and what must come of it."""

    kind: str
    incoming: Incoming
    expected: Expected


class Chance(Random):
    """What cases are made from: numbers, and the moment at which they come."""

    now = NOW


@dataclass
class Draft:
    """A valid command before it is written down, for generators to break."""

    name: str
    body: dict[str, Any]
    group: str | None = None
    response_topic: str | None = None
    correlation: bytes | None = None
    expiry_s: int | None = None
    random: Chance = field(default_factory=Chance)

    @property
    def topic(self) -> str:
        place = f"_group/{self.group}" if self.group else DEVICE
        return f"{PREFIX}/{place}/command/{self.name}"

    def text(self) -> bytes:
        """The body as JSON, in one of the ways of writing it."""
        if not self.body:
            return self.random.choice((b"", b"{}", b" {\n} "))
        ascii_only, indent = self.random.choice((True, False)), self.random.choice((None, None, 1))
        return json.dumps(self.body, ensure_ascii=ascii_only, indent=indent).encode()

    def incoming(self, payload: bytes | None = None, **changes: Any) -> Incoming:
        made = Incoming(
            topic=self.topic,
            payload=self.text() if payload is None else payload,
            retained=False,
            received_at=self.random.now,
            response_topic=self.response_topic,
            correlation=self.correlation,
            expiry_s=self.expiry_s,
        )
        return replace(made, **changes)

    def accepted(self) -> Expected:
        """What a valid command must become."""
        expires_at = self.body.get("expires_at") and datetime.fromisoformat(self.body["expires_at"])
        if self.expiry_s is not None:
            expires_at = self.random.now + timedelta(seconds=self.expiry_s)
        command = {
            "name": self.name,
            "args": self.body.get("args") or {},
            "expires_at": expires_at,
            "if_version": self.body.get("if_version"),
        }
        return self.refused(None, command=command)

    def refused(self, code: ErrorCode | None, *, readable: bool = True, **changes: Any) -> Expected:
        """A refusal that finds id and address in the body only where the body is readable."""
        body = self.body if readable else {}
        asked = self.response_topic if self.response_topic is not None else body.get("reply_to")
        head, _, client = (asked or ANONYMOUS).rpartition("/")
        below = asked is None or head.startswith(f"{PREFIX}/")
        topic = f"{PREFIX}/{DEVICE}/reply/{client}" if below else asked
        id_ = body.get("id")
        if self.correlation:
            try:
                id_ = self.correlation.decode()
            except UnicodeDecodeError:
                id_ = self.correlation.hex()
        made = Expected(code=code, id=id_, reply_topic=topic, correlation=self.correlation)
        return replace(made, **changes)


def word(random: Chance, longest: int = 12) -> str:
    return "".join(random.choices(LETTERS, k=random.randint(1, longest)))


def moment(random: Chance, seconds: tuple[int, int]) -> str:
    """RFC 3339, so many seconds from now."""
    at = random.now + timedelta(seconds=random.randint(*seconds))
    return at.isoformat(timespec=random.choice(("seconds", "milliseconds"))).replace(
        "+00:00", random.choice(("Z", "+00:00"))
    )


def args(random: Chance, name: str) -> dict[str, Any] | None:
    """Arguments of a command that are valid; None where it goes without."""
    rules = [{"match": match(random), "device": word(random)} for _ in range(random.randint(1, 20))]
    placed = random.choice(
        (
            {"preset": random.choice(("fallback", "convolutions", "split"))},
            {"rules": rules, "default": random.choice((None, "CPU"))},
        )
    )
    counts = {key: random.randint(1, 1024) for key in ("streams", "requests") if random.random() < 0.5}
    given: dict[str, dict[str, Any] | None] = {
        "set-device": {"device": word(random)},
        "set-precision": {"precision": random.choice(("FP32", "FP16", "INT8"))},
        "set-model": {"model": random.choice(("movenet-multipose", "a", "0-x"))},
        "set-affinity": placed,
        "plan-affinity": placed,
        "set-hint": {"hint": random.choice(("latency", "throughput")), **counts},
        "set-input": random.choice((None, {}, {"long_side": 512}, {"long_side": None})),
        "set-zones": random.choice((None, {}, {"zones": None}, {"zones": {}}, {"zones": zones(random)})),
        "set-paused": {"paused": random.random() < 0.5},
        "quantize": random.choice((None, {}, {"frames": 60}, {"frames": 2000, "seconds": 0.5, "model": None})),
        "fetch": {"name": random.choice(("a", "nobody-knows-it"))},
        "logs": random.choice((None, {}, {"lines": 1}, {"lines": 1000})),
        "cancel": {"id": word(random)},
    }
    return given.get(name, random.choice((None, {})))


def zones(random: Chance) -> dict[str, Any]:
    """Rectangles somewhere in the picture, some of them masks."""
    found: dict[str, Any] = {}
    for number in range(random.randint(1, 32)):
        left, top = random.random() * 0.8, random.random() * 0.8
        corners = [[left, top], [left + 0.2, top], [left + 0.2, top + 0.2], [left, top + 0.2]]
        optional = {"mask": random.random() < 0.2} if random.random() < 0.5 else {}
        found[f"zone_{number}"] = {"polygon": corners, "dwell_s": float(random.randint(0, 60)), **optional}
    return found


def match(random: Chance) -> dict[str, Any]:
    """What a rule matches."""
    return random.choice(
        (
            {"type": word(random)},
            {"name": word(random)},
            {"first": random.choice((0.001, 0.5, 1.0, 1))},
            {"heaviest": random.randint(1, 10_000)},
        )
    )


def draft(random: Chance) -> Draft:
    """Any valid command, in MQTT's properties, in the body, or both."""
    made = Draft(random.choice(NAMES), {}, random.choice((None, None, *GROUPS)), random=random)
    reply_topics = (
        f"{PREFIX}/{DEVICE}/reply/{random.choice(('me', 'x y', 'ä', '_'))}",
        f"{PREFIX}/_group/{random.choice(GROUPS)}/reply/me",
        f"{PREFIX}s/reply",
        "home/assistant/reply",
    )
    optional: dict[str, Callable[[], Any]] = {
        "id": lambda: word(random),
        "reply_to": lambda: random.choice(reply_topics),
        "expires_at": lambda: moment(random, (1, 86_400)),
        "if_version": lambda: random.randint(0, 2**53),
    }
    made.body = {key: value() for key, value in optional.items() if random.random() < 0.4}
    given = args(random, made.name)
    if given is not None:
        made.body["args"] = given
    if random.random() < 0.4:
        made.response_topic = random.choice(reply_topics)
    if random.random() < 0.4:
        made.correlation = random.choice(
            (word(random).encode(), b"\xff" + random.randbytes(random.randint(0, 63)), b"")
        )
    if random.random() < 0.3:
        made.expiry_s = random.choice((1, 3600, 2**32 - 1))
    return made


def valid(random: Chance) -> Case:
    made = draft(random)
    return Case("valid", made.incoming(), made.accepted())


def largest(random: Chance) -> Case:
    """As large as a command may be."""
    made = draft(random)
    return Case("largest", made.incoming((made.text() or b"{}").ljust(COMMAND_BYTES_MAX)), made.accepted())


def duplicate(random: Chance) -> Case:
    """A key twice: the last counts, as in most parsers of JSON."""
    made = draft(random)
    made.body["id"] = word(random)
    payload = b'{"id": "another", ' + made.text().lstrip()[1:]
    return Case("duplicate", made.incoming(payload), made.accepted())


def oversized(random: Chance) -> Case:
    made = draft(random)
    payload = (made.text() or b"{}").ljust(COMMAND_BYTES_MAX + 1)
    return Case("oversized", made.incoming(payload), made.refused(ErrorCode.INVALID_PAYLOAD, readable=False))


def truncated(random: Chance) -> Case:
    """No beginning of a JSON object is one, but for the empty one."""
    made = draft(random)
    made.body["id"] = word(random)
    payload = made.text().strip()
    payload = payload[: random.randint(1, len(payload) - 1)]
    return Case("truncated", made.incoming(payload), made.refused(ErrorCode.INVALID_PAYLOAD, readable=False))


def unreadable(random: Chance) -> Case:
    """What is no JSON at all, or none that can be written in UTF-8, or none that ends."""
    made = draft(random)
    deep = random.randint(300, 4000)
    payload = random.choice(
        (
            b'{"id": "\\ud800"}',
            b'{"id": "\\udfff\\ud800"}',
            b'{"id": "\xff"}',
            b'{"id": "\xed\xa0\x80"}',
            b"\xef\xbb\xbf{}",
            b"{}{}",
            b"{'id': 'a'}",
            b'{"id": "a",}',
            b'{"id": "a\n"}',
            b"// nothing\n{}",
            b"[" * deep,
            b'{"args":' * deep,
            b'{"args":' * deep + b"1" + b"}" * deep,
            b'{"args": ' + b"[" * deep + b"]" * deep + b"}",
            b'{"if_version": ' + b"9" * random.randint(5000, 16000) + b"}",
            b"\x00",
            b" ",
            "{}".encode("utf-16"),
            "{}".encode("utf-32"),
        )
    )
    return Case("unreadable", made.incoming(payload), made.refused(ErrorCode.INVALID_PAYLOAD, readable=False))


def no_object(random: Chance) -> Case:
    made = draft(random)
    payload = random.choice((b"[]", b"null", b'"set"', b"1", b"true", b"NaN", b'[{"id": "a"}]', b"-0.0", b"1e999"))
    return Case("no object", made.incoming(payload), made.refused(ErrorCode.INVALID_PAYLOAD, readable=False))


def unknown_field(random: Chance) -> Case:
    """A key nobody knows, at any level; id and address are read all the same."""
    made = draft(random)
    places = [made.body]
    if made.body.get("args") is not None:
        places.append(made.body["args"])
        for rule in made.body["args"].get("rules", ()):
            places += [rule, rule["match"]]
    random.choice(places)[f"no {word(random)}\n\0\x7f"] = random.choice((None, 1, [[]], {"id": "b"}, "x" * 1000))
    return Case("unknown field", made.incoming(), made.refused(ErrorCode.INVALID_PAYLOAD))


def wrong_type(random: Chance) -> Case:
    """A value of a type, or beyond the bounds, that its field does not have."""
    made = draft(random)
    key, wrong = random.choice(
        (
            ("id", (1, True, [], {}, "", "x" * 129, "a\nb", "\0", "\x7f", "\ufffe", 1.5)),
            ("reply_to", (1, False, [], {}, 10**20)),
            ("expires_at", (1, 1767225600, "1767225600", "20270101", "2027-01-01", "2027-01-01T00:00:00", "now", "")),
            ("expires_at", ("2027-02-30T00:00:00Z", "0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00", {})),
            ("if_version", (-1, 1.0, 1.5, "1", True, 10**30, [], float("nan"), float("inf"), 2**53 + 1)),
            ("args", (1, True, "pause", [], [{}], 1e300)),
        )
    )
    made.body[key] = random.choice(wrong)
    if key == "reply_to" and made.response_topic is None:
        made.body.pop("reply_to")
        expected, payload = made.refused(ErrorCode.INVALID_PAYLOAD), {**made.body, "reply_to": random.choice(wrong)}
        return Case("wrong type", made.incoming(json.dumps(payload).encode()), expected)
    expected = made.refused(ErrorCode.INVALID_PAYLOAD)
    if key == "id" and not made.correlation:
        expected = replace(expected, id=None)
    return Case("wrong type", made.incoming(json.dumps(made.body).encode()), expected)


NO_SETTINGS: Final[tuple[Any, ...]] = (None, [], {}, float("nan"), "/etc/passwd", "a b", "x" * 33)
WRONG_ARGS: Final[dict[str, tuple[dict[str, Any], ...]]] = {
    "set-device": ({}, {"device": ""}, {"device": 1}, {"device": "x" * 257}, {"device": None}),
    "set-precision": ({}, {"precision": "fp32"}, {"precision": "FP8"}, {"precision": 32}),
    "set-model": ({}, {"model": "../x"}, {"model": "A"}, {"model": "a\n"}, {"model": "a" * 64}),
    "set-affinity": (
        {},
        {"rules": []},
        {"preset": "none"},
        {"preset": "split", "default": "CPU"},
        {"rules": [{"match": {"heaviest": 2}, "device": "X"}] * 65},
    ),
    "plan-affinity": (
        {"rules": [{"match": {"heaviest": 2, "first": 0.5}, "device": "X"}]},
        {"rules": [{"match": {}, "device": "X"}]},
        *({"rules": [{"match": {"first": wrong}, "device": "X"}]} for wrong in (0, 1.1, "1", float("nan"))),
    ),
    "set-hint": ({}, {"hint": "speed"}, {"hint": "latency", "streams": 0}, {"hint": ["latency"]}),
    "set-input": ({"long_side": 31}, {"long_side": 4097}, {"long_side": "512"}, {"height": 512}),
    "set-zones": (
        {"zones": []},
        {"zones": {"A": {"polygon": [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]}}},
        {"zones": {"a": {"polygon": [[0.0, 0.0], [1.0, 1.0]]}}},
        {"zones": {"a": {"polygon": [[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]}}},
        *({"zones": {"a": {"polygon": [[0.0, 0.0], [1.0, 0.0], [1.0, w]]}}} for w in (2, -1, "1", float("nan"), None)),
        {"zones": {"a": {"polygon": [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]], "dwell": 1}}},
    ),
    "set": (
        {},
        {"settings": {}},
        {"settings": {"camera": 1}},
        {"settings": {"../x.y": 1}},
        *({"settings": {"camera.fps_max": w}} for w in NO_SETTINGS),
        {"settings": {"camera.fps_max": 1}, "dry_run": 1},
        {"settings": {f"camera.k{number}": 1 for number in range(65)}},
    ),
    "unset": ({"keys": []}, {"keys": "camera.fps"}, {"keys": ["A.b"]}, {"restart": None}),
    "get": ({"keys": []}, {"keys": ["camera"]}, {"keys": [1]}, {"dry_run": True}),
    "set-paused": ({}, {"paused": 1}, {"paused": "true"}, {"paused": None}),
    "quantize": (
        *({"frames": wrong} for wrong in (59, 2001, "300", True, 60.5)),
        *({"seconds": wrong} for wrong in (float("nan"), float("inf"), float("-inf"), -1, 0, 10**400, "1")),
    ),
    "fetch": ({}, {"name": "../x"}, {"name": "https://thief.example/x"}, {"name": None}, {"name": "a", "from": "/x"}),
    "logs": (*({"lines": wrong} for wrong in (0, 1001, "200", True, 1.5, None)), {"file": "/etc/passwd"}),
    "check": ({"config": "/etc/passwd"},),
    "cancel": ({}, {"id": ""}, {"id": 7}, {"id": "x" * 129}),
}


def wrong_args(random: Chance) -> Case:
    """Arguments of the wrong type, beyond their bounds, or missing."""
    made = draft(random)
    made.name = random.choice(list(WRONG_ARGS))
    made.body["args"] = random.choice(WRONG_ARGS[made.name])
    return Case("wrong args", made.incoming(), made.refused(ErrorCode.INVALID_PAYLOAD))


def unknown_command(random: Chance) -> Case:
    made = draft(random)
    made.name = random.choice(
        ("puase", "set_device", "SET-DEVICE", "+", "#", "a b", word(random).replace("/", "-") + "?")
    )
    return Case("unknown command", made.incoming(), made.refused(ErrorCode.UNKNOWN_COMMAND))


def retained(random: Chance) -> Case:
    made = draft(random)
    made.body["id"] = word(random)
    return Case("retained", made.incoming(retained=True), made.refused(ErrorCode.RETAINED))


def cleared(random: Chance) -> Case:
    """An empty retained message clears what is retained; nobody waits for an answer."""
    made = draft(random)
    expected = made.refused(ErrorCode.RETAINED, readable=False, reply_topic=None)
    return Case("cleared", made.incoming(b"", retained=True), expected)


def expired(random: Chance) -> Case:
    made = draft(random)
    if random.random() < 0.5:
        made.expiry_s = 0
    else:
        made.expiry_s = None
        made.body["expires_at"] = moment(random, (-86_400, -1))
    return Case("expired", made.incoming(), made.refused(ErrorCode.EXPIRED))


def forbidden_reply(random: Chance) -> Case:
    """A reply topic by which we would write what the sender may not, or that no broker takes."""
    made = draft(random)
    made.response_topic = None
    made.body.pop("reply_to", None)
    expected = made.refused(ErrorCode.INVALID_PAYLOAD)
    topic = random.choice(
        (
            PREFIX,
            f"{PREFIX}/",
            f"{PREFIX}/{DEVICE}/state",
            f"{PREFIX}/{DEVICE}/reply",
            f"{PREFIX}/{DEVICE}/reply/",
            f"{PREFIX}/{DEVICE}/reply/a/b",
            f"{PREFIX}/{DEVICE}/command/pause",
            f"{PREFIX}/other/reply/me",
            f"{PREFIX}/other/availability",
            f"{PREFIX}/_group/gym/command/pause",
            f"{PREFIX}/_group/Gym/reply/me",
            f"{PREFIX}/_group/gym/reply/",
            "#",
            "a/+/b",
            f"{PREFIX}/{DEVICE}/reply/+",
            "a\0b",
            "a\nb",
            "a\x7f",
            "a\ufffe",
            "$SYS/broker",
            "$share/g/a",
            "a" * 513,
            "",
        )
    )
    if random.random() < 0.5:
        made.response_topic = topic
    else:
        made.body["reply_to"] = topic
    return Case("forbidden reply", made.incoming(), expected)


def too_long_to_correlate(random: Chance) -> Case:
    made = draft(random)
    expected = replace(made.refused(ErrorCode.INVALID_PAYLOAD), id=made.body.get("id"))
    correlation = random.choice((b"\xff" * 65, b"x" * 129, b"\xff" * 512))
    expected = replace(expected, correlation=correlation)
    return Case("correlation", made.incoming(correlation=correlation), expected)


def foreign_topic(random: Chance) -> Case:
    """A topic that is no command to this device: nobody asked us, nobody is answered."""
    made = draft(random)
    topic = random.choice(
        (
            f"{PREFIX}/other/command/pause",
            f"{PREFIX}/_group/other/command/pause",
            f"{PREFIX}/{DEVICE}/state",
            f"{PREFIX}/{DEVICE}/command",
            f"{PREFIX}/{DEVICE}/command/",
            f"{PREFIX}/{DEVICE}/command/pause/now",
            f"x{PREFIX}/{DEVICE}/command/pause",
            f"{PREFIX}//command/pause",
            "",
            "/",
            "\ud800",
            word(random, 40),
        )
    )
    expected = Expected(code=ErrorCode.NOT_FOUND, reply_topic=None)
    return Case("foreign topic", made.incoming(topic=topic), expected)


def flipped(random: Chance) -> Case:
    """A valid command in which some bytes are others: anything may come out but the unforeseen."""
    made = draft(random)
    payload = bytearray(made.text() or b"{}")
    for _ in range(random.choice((1, 1, 1, 2, 8))):
        payload[random.randrange(len(payload))] = random.choice((random.randrange(256), *b'{}[]",:\\09e-'))
    return Case("flipped", made.incoming(bytes(payload)), Expected())


def spliced(random: Chance) -> Case:
    """Pieces of two valid commands."""
    one, other = draft(random), draft(random)
    head, tail = one.text(), other.text()
    payload = head[: random.randint(0, len(head))] + tail[random.randint(0, len(tail)) :]
    return Case("spliced", one.incoming(payload), Expected())


def noise(random: Chance) -> Case:
    """Bytes."""
    made = draft(random)
    incoming = made.incoming(
        random.randbytes(random.randint(0, 200)),
        topic=random.choice((made.topic, word(random, 60))),
        response_topic=random.choice((None, word(random, 60), "\ud800", "a" * 70_000)),
        correlation=random.choice((None, random.randbytes(random.randint(0, 700)))),
        retained=random.random() < 0.2,
        expiry_s=random.choice((None, 0, 1, 2**32 - 1)),
    )
    return Case("noise", incoming, Expected())


GENERATORS: Final = (
    valid, valid, valid, valid, largest, duplicate, oversized, truncated, unreadable, no_object, unknown_field,
    wrong_type, wrong_args, unknown_command, retained, cleared, expired, forbidden_reply, too_long_to_correlate,
    foreign_topic, flipped, flipped, flipped, flipped, spliced, noise,
)  # fmt: skip


def cases(count: int, seed: int, now: datetime = NOW) -> Iterator[Case]:
    """Make so many cases, the same ones for the same seed and moment."""
    random = Chance(seed)
    random.now = now
    for number in range(count):
        yield GENERATORS[number % len(GENERATORS)](random)
