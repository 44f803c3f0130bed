"""MQTT's own rules for strings, and ours for topics: one place for agent and controller.

MQTT 5.0, sections 1.5.4 (text), 1.5.6 (binary data), 3.1.3 (CONNECT), 4.7 (topics).
"""

import ipaddress
import unicodedata
from typing import Final

BYTES_MAX: Final = 65_535
"""Of any text and of a password: their length takes two bytes."""
PREFIX_MAX: Final = 128
"""Characters: the rest of a topic, and a broker's own bounds, need their room."""


def fault_of_text(text: str) -> str | None:
    """Say why this is no text of MQTT; None where it is."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "it is not UTF-8"
    if any(unicodedata.category(character) == "Cc" or _is_noncharacter(character) for character in text):
        return "it holds a control character, for which a broker may end the connection"
    if (size := len(text.encode())) > BYTES_MAX:
        return f"it takes {size} bytes, and MQTT has room for {BYTES_MAX}"
    return None


def fault_of_password(password: str) -> str | None:
    """Say why this cannot be sent as a password, without repeating it; None where it can."""
    try:
        size = len(password.encode())
    except UnicodeEncodeError:
        return "it is not UTF-8"
    return None if size <= BYTES_MAX else f"it takes {size} bytes, and MQTT has room for {BYTES_MAX}"


def fault_of_prefix(prefix: str) -> str | None:
    """Say why topics cannot begin with this; None where they can."""
    if fault := fault_of_text(prefix):
        return fault
    if len(prefix) > PREFIX_MAX:
        return f"it has {len(prefix)} characters, at most {PREFIX_MAX} are taken"
    if wild := set(prefix) & set("#+"):
        return f"it holds {' and '.join(sorted(wild))}, which only filters may"
    if any(character.isspace() for character in prefix):
        return "it holds a space"
    if prefix.startswith("$"):
        return 'it starts with "$", and such topics are the broker\'s own'
    if not all(prefix.split("/")):
        return 'one of its levels is empty: no "/" at either end, and no two in a row'
    return None


def _is_noncharacter(character: str) -> bool:
    return "\ufdd0" <= character <= "\ufdef" or ord(character) & 0xFFFE == 0xFFFE


def plain_host(host: str) -> str:
    """A host as sockets take it: ``[::1]`` and ``::1`` are one address."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def fault_of_host(host: str) -> str | None:
    """Say why this is no host name or address alone; None where it is."""
    if not host or any(character.isspace() or character in "/@" for character in host):
        return "a host name or address alone is expected, without scheme, user or port"
    if ":" in host or "[" in host:
        try:
            ipaddress.IPv6Address(plain_host(host))
        except ValueError:
            return "it is no IPv6 address, and a port has a place of its own"
    return fault_of_text(host)


def place(host: str, port: int) -> str:
    """Host and port as an address has them: ``[::1]:1883``."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
