"""Which broker, and how to get in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import unquote, urlsplit

SCHEMES: Final = {"mqtt": False, "mqtts": True}
EXPECTED: Final = "expected HOST, HOST:PORT, mqtt://HOST[:PORT] or mqtts://HOST[:PORT]"


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

    @classmethod
    def of(cls, broker: str, options: Mapping[str, Any]) -> Self:
        """Read ``HOST[:PORT]`` or an mqtt:// or mqtts:// address; the options win over what the address says.

        Raises ValueError, whose message never repeats the address: it may hold a password.
        """
        try:
            url = urlsplit(broker if "://" in broker else f"mqtt://{broker}")
        except ValueError:  # its text quotes the account
            raise ValueError(f"{EXPECTED}; special characters of a password percent-encoded") from None
        if url.scheme not in SCHEMES:
            raise ValueError(f"the scheme {url.scheme!r} is not one of {', '.join(SCHEMES)}")
        if not url.hostname or url.path.strip("/") or url.query or url.fragment:
            raise ValueError(EXPECTED)
        tls = SCHEMES[url.scheme] or any(options.get(name) for name in ("cafile", "cert", "key"))
        try:
            port = url.port
        except ValueError:
            raise ValueError("the port is not a number from 1 to 65535") from None
        return cls(
            host=url.hostname,
            port=port or (8883 if tls else 1883),
            tls=tls,
            username=options.get("username") or (unquote(url.username) if url.username else None),
            password=options.get("password") or (unquote(url.password) if url.password else None),
            password_file=options.get("password_file"),
            ca_file=options.get("cafile"),
            cert_file=options.get("cert"),
            key_file=options.get("key"),
        )

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"
