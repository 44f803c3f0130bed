"""What a box takes from whom: signed commands, for whoever does not trust the broker, and where replies may go.

A signed command is an envelope around the payload of an ordinary one::

    {"signed": "{...}", "sequence": 1795366697000000, "signature": "<64 hexadecimal digits>"}

The signature is HMAC-SHA256, under the text of the key, of the topic, the sequence and the payload, with a line feed
between them. The topic says device or group and the command; no topic of a command holds a line feed.
"""

import hashlib
import hmac
import json
from codecs import BOM_UTF8
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, ValidationError

from agent.wire.commands import CommandError, ErrorCode, Incoming, Proof
from agent.wire.part import Part
from agent.wire.wording import Worded

KEY_CHARS_MIN: Final = 32
KEY_FILE_BYTES_MAX: Final = 64 * 1024
SEQUENCE_MAX: Final = 2**53
"""What every parser of JSON reads exactly."""

_HOW: Final = "controller --signing-key FILE signs; docs/wire.md says how anybody can"


class KeyFileError(ValueError):
    """A file holds no usable key. Says why, and never what it holds."""


@dataclass(frozen=True, slots=True)
class Key:
    """A secret that whoever commands and the box share."""

    secret: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """What it is called where the secret must not stand."""
        return hashlib.sha256(b"edgepose key\0" + self.secret).hexdigest()[:16]

    def signature(self, topic: str, sequence: int, payload: str) -> str:
        """Sign a command: 64 hexadecimal digits."""
        return hmac.new(self.secret, f"{topic}\n{sequence}\n{payload}".encode(), "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class Terms:
    """Under what terms commands are taken."""

    keys: tuple[Key, ...] = ()
    signature_required: bool = False
    """Without keys nothing can be signed, and this says nothing."""
    reply_topics: tuple[str, ...] = ("#",)
    """Topic filters outside of our prefix where replies may go."""

    def may_reply_to(self, topic: str) -> bool:
        """Whether a topic outside of our prefix is on the list."""
        return any(matches(wanted, topic) for wanted in self.reply_topics)


OPEN: Final = Terms()
"""No keys, and replies go wherever the broker lets them."""


class _Envelope(Part):
    """Around the payload of a signed command."""

    signed: str
    sequence: Annotated[int, Field(ge=1, le=SEQUENCE_MAX)]
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$"), Worded("64 hexadecimal digits in lower case")]


def read_keys(file: Path) -> tuple[Key, ...]:
    """Read the keys of a file, one a line; empty lines and those that start with # are none. Raises KeyFileError."""
    try:
        with file.open("rb") as handle:
            lines = handle.read(KEY_FILE_BYTES_MAX).removeprefix(BOM_UTF8).decode("ascii").split("\n")
    except OSError as error:
        raise KeyFileError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise KeyFileError(f"{file}: a key is ASCII text") from None
    texts = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not texts:
        raise KeyFileError(f"{file}: holds no key")
    if any(len(text) < KEY_CHARS_MIN or not text.isprintable() or " " in text for text in texts):
        raise KeyFileError(f"{file}: a key is at least {KEY_CHARS_MIN} printable characters without spaces")
    return tuple(Key(text.encode()) for text in texts)


def sign(key: Key, topic: str, sequence: int, payload: bytes) -> bytes:
    """Put the payload of a command into a signed envelope."""
    text = payload.decode()
    envelope = {"signed": text, "sequence": sequence, "signature": key.signature(topic, sequence, text)}
    return json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode()


def opened(incoming: Incoming, terms: Terms) -> tuple[bytes, Proof | None]:
    """Return the payload of a command and the proof of who sent it; None for an unsigned one that is taken as well.

    Raises CommandError for one that is not signed as it must be. The topic must be that of a command.
    """
    try:
        envelope = _Envelope.model_validate_json(incoming.payload or b"{}", strict=True)
    except ValidationError:
        if not terms.signature_required:
            return incoming.payload, None
        raise CommandError(ErrorCode.UNTRUSTED, "this box takes signed commands alone", _HOW) from None
    for key in terms.keys:
        signature = key.signature(incoming.topic, envelope.sequence, envelope.signed)
        if hmac.compare_digest(signature, envelope.signature):
            return envelope.signed.encode(), Proof(key.name, envelope.sequence)
    told = "the signature is not that of this topic, sequence and payload under a key of this box"
    raise CommandError(ErrorCode.UNTRUSTED, told, f"check whom it was signed for, and with which key; {_HOW}")


def matches(wanted: str, topic: str) -> bool:
    """Whether a topic filter of MQTT matches a topic."""
    filters, levels = wanted.split("/"), topic.split("/")
    for place, level in enumerate(filters):
        if level == "#":
            return True
        if place >= len(levels) or level not in {"+", levels[place]}:
            return False
    return len(filters) == len(levels)
