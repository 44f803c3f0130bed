"""What the ``source`` of the configuration names, and how it may be shown."""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from agent.errors import CaptureError

STREAM_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_SECRET = re.compile(r"pass|pwd|user|login|token|key|secret|auth|sig", re.IGNORECASE)
_HIDDEN = "***"
_EXPECTED = ", ".join(f"{name}://" for name in STREAM_PORTS)
_ENCODED = {character: f"%{ord(character):02X}" for character in "@/?#:%"}


@dataclass(frozen=True, slots=True)
class Device:
    """A V4L2 camera by its device file."""

    path: str


@dataclass(frozen=True, slots=True)
class Stream:
    """A network stream. ``url`` may hold a password: show :func:`redact` of it."""

    url: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Clip:
    """A video that is fetched by name."""

    name: str


def parse(source: str) -> Device | Stream | Clip | Path:
    """Tell what ``source`` names. Raises :class:`CaptureError` for an address no source can read."""
    if source.isascii() and source.isdigit():
        return Device(f"/dev/video{int(source)}")
    if source.startswith("/dev/"):
        return Device(source)
    if source.startswith("clip:") and "://" not in source:
        return Clip(source.removeprefix("clip:"))
    if scheme := _SCHEME.match(source):
        return _parse_stream(source, scheme[1].lower())
    if "://" in source:
        raise CaptureError(
            f"{redact(source)} is no address; expected {_EXPECTED}", hint="an address begins with its scheme"
        )
    return Path(source).expanduser()


def _parse_stream(url: str, scheme: str) -> Stream:
    if scheme not in STREAM_PORTS:
        near = difflib.get_close_matches(scheme, STREAM_PORTS, n=2)
        hint = f"did you mean {' or '.join(f'{name}://' for name in near)}?" if near else "a file needs its path"
        raise CaptureError(f"cannot read {scheme}:// addresses; expected one of {_EXPECTED}", hint=hint)
    if fault := _unencoded(url):
        raise fault
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # its text quotes the address, password included
        host, port = None, None
    if host is None or re.search(r"[\x00-\x20\x7f]", url):
        raise CaptureError(
            f"{redact(url)} is not a valid address; expected {scheme}://[user:password@]host[:port]/path",
            hint="write special characters of a password percent-encoded: @ is %40, / is %2F",
        )
    return Stream(url, host, STREAM_PORTS[scheme] if port is None else port)


def _unencoded(url: str) -> CaptureError | None:
    """A password that ends the host's name early: part of it would be looked up in the DNS, in the clear."""
    authority, tail = re.fullmatch(r"[^:]+://([^/?#]*)(.*)", url, re.DOTALL).groups()  # type: ignore[union-attr]
    account, at, _ = authority.rpartition("@")
    suspect = account.partition(":")[2] if at else authority.partition(":")[2]
    if (at and "@" in tail) or "@" in account or (not at and "@" in tail and suspect and not suspect.isdigit()):
        between = "".join(
            dict.fromkeys(character for character in account + tail.rpartition("@")[0] if character in _ENCODED)
        )
        named = ", ".join(f"{character} is {_ENCODED[character]}" for character in between.replace(":", "") + "@")
        return CaptureError(
            f"{redact(url)} is not a valid address; expected scheme://[user:password@]host[:port]/path with user and "
            "password percent-encoded",
            hint=f"write the special characters of the password percent-encoded: {named}",
        )
    return None


def redact(source: str) -> str:
    """Show where frames come from without what opens the door.

    User, password and the whole query go; so does a path that looks as if it named a secret. An address in which the
    end of the password cannot be told for sure is hidden but for its scheme.
    """
    scheme = _SCHEME.search(source)
    if scheme is None:
        return _redact_path(source)
    prefix = f"{source[: scheme.start()]}{scheme[1].lower()}://"
    authority, tail = re.fullmatch(r"([^/?#]*)(.*)", source[scheme.end() :], re.DOTALL).groups()  # type: ignore[union-attr]
    # An account with its @ or : encoded: no host has such a name.
    if "@" in tail or "%" in authority.rpartition("@")[2].partition("]")[0].replace("%25", ""):
        return prefix + _HIDDEN
    path, query, _ = re.fullmatch(r"([^?#]*)(\?[^#]*)?(#.*)?", tail, re.DOTALL).groups()  # type: ignore[union-attr]
    if _SECRET.search(path):
        path = "/" + _HIDDEN
    return prefix + authority.rpartition("@")[2] + path + ("?" + _HIDDEN if query else "")


def _redact_path(source: str) -> str:
    """Hide what precedes the host of a mistyped address: ``http:/user:secret@host``, ``secret@host/path``."""
    before, at, after = source.rpartition("@")
    return f"{_HIDDEN}@{after}" if at and (":" in before or "/" not in before) else source
