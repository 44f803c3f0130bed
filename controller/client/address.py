"""Which broker, and how to get in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import unquote, urlsplit

from agent.wire.strings import fault_of_host, fault_of_password, fault_of_text, place

SCHEMES: Final = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
"""Each with its port."""
SECURE: Final = {"mqtt": "mqtts", "ws": "wss"}
EXPECTED: Final = "expected HOST, HOST:PORT, mqtt://HOST[:PORT], mqtts://, or ws:// and wss:// with a path"
WEBSOCKET_PATH: Final = "/mqtt"


@dataclass(frozen=True, slots=True)
class Address:
    """A broker, and what it wants to see before it lets us in."""

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    websocket_path: str | None = None
    """None where it is plain TCP."""

    @classmethod
    def of(cls, broker: str, options: Mapping[str, Any]) -> Self:
        """Read ``HOST[:PORT]`` or an mqtt:// or mqtts:// address; the options win over what the address says.

        Raises ValueError, whose message never repeats the address: it may hold a password.
        """
        if broker.count(":") > 1 and "[" not in broker and "://" not in broker:
            broker = f"[{broker}]"  # an IPv6 address, as the agent's mqtt.host takes it
        try:
            url = urlsplit(broker if "://" in broker else f"mqtt://{broker}")
        except ValueError:  # its text quotes the account
            raise ValueError(f"{EXPECTED}; special characters of a password percent-encoded") from None
        if url.scheme not in SCHEMES:
            raise ValueError(f"the scheme {url.scheme!r} is not one of {', '.join(SCHEMES)}")
        web = url.scheme in {"ws", "wss"}
        if not url.hostname or (url.path.strip("/") and not web) or url.query or url.fragment:
            raise ValueError(EXPECTED)
        if fault := fault_of_host(url.hostname):
            raise ValueError(f"of the host: {fault}")
        tls = url.scheme in SECURE.values() or any(options.get(name) for name in ("cafile", "cert", "key"))
        scheme = SECURE.get(url.scheme, url.scheme) if tls else url.scheme
        try:
            port = url.port
        except ValueError:
            raise ValueError("the port is not a number from 1 to 65535") from None
        username = options.get("username") or (unquote(url.username) if url.username else None)
        if username is not None and (fault := fault_of_text(username)):
            raise ValueError(f"of the user name: {fault}")
        password = options.get("password") or (unquote(url.password) if url.password else None)
        if password is not None and (fault := fault_of_password(password)):
            raise ValueError(f"of the password: {fault}")
        return cls(
            host=url.hostname,
            port=port or SCHEMES[scheme],
            tls=tls,
            username=username,
            password=password,
            websocket_path=(url.path if url.path.strip("/") else WEBSOCKET_PATH) if web else None,
            password_file=options.get("password_file"),
            ca_file=options.get("cafile"),
            cert_file=options.get("cert"),
            key_file=options.get("key"),
        )

    def __str__(self) -> str:
        return place(self.host, self.port)
