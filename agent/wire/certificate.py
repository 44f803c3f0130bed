"""Why a broker does not take our certificate: by its TLS alert, and by our own file. For agent and controller."""

import re
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from agent.wire.broker import BrokerError

LOOK_S: Final = 3.0
"""How long the broker is waited for to say why."""
MINE: Final = (
    "name certificate and key: mqtt.tls.cert_file and key_file of an agent, --cert and --key of the controller"
)
ANOTHER: Final = "have one signed by the authority that the broker trusts (its cafile)"
ALERTS: Final[dict[str, tuple[str, str]]] = {
    "CERTIFICATE_REQUIRED": ("the broker wants a client certificate, and we show none", MINE),
    "CERTIFICATE_EXPIRED": (
        "the broker says: our certificate has expired",
        "have it renewed, or set the broker's clock",
    ),
    "UNKNOWN_CA": ("the broker does not trust who signed our certificate", ANOTHER),
    "BAD_CERTIFICATE": ("the broker does not accept our certificate", ANOTHER),
    "CERTIFICATE_UNKNOWN": ("the broker does not accept our certificate", ANOTHER),
    "UNSUPPORTED_CERTIFICATE": ("our certificate is not one for clients", "have one made for clients (clientAuth)"),
    "CERTIFICATE_REVOKED": ("the broker says: our certificate is revoked", "have another one made"),
    "ACCESS_DENIED": ("the broker denies access to our certificate", "allow it in the broker"),
}
"""By what OpenSSL calls the alerts of RFC 8446, section 6.2, without what stands before."""
TIMES: Final = re.compile(rb"(?:\x17\r(\d{12})Z|\x18\x0f(\d{14})Z)(?:\x17\r(\d{12})Z|\x18\x0f(\d{14})Z)")
"""Two times after each other, as they stand in a certificate's validity (RFC 5280, section 4.1)."""


def rejection(
    host: str, port: int, context: ssl.SSLContext, cert_file: Path | None, now: datetime | None = None
) -> BrokerError | None:
    """Ask a broker again that closed the connection why it did, by TLS alone; None where that does not tell."""
    try:
        with (
            socket.create_connection((host, port), LOOK_S) as plain,
            context.wrap_socket(plain, server_hostname=host) as connection,
        ):
            connection.recv(1)
    except ssl.SSLError as error:
        return told(error, cert_file, now)
    except OSError:
        return None
    return None


def told(error: ssl.SSLError, cert_file: Path | None, now: datetime | None = None) -> BrokerError | None:
    """Put an alert into words; None where it is not about our certificate."""
    reason = (error.reason or "").partition("ALERT_")[2]
    if reason == "HANDSHAKE_FAILURE" and cert_file is None:  # how TLS 1.2 says it
        reason = "CERTIFICATE_REQUIRED"
    if reason not in ALERTS:
        return None
    cause, cure = ALERTS[reason]
    if cert_file is not None and (fault := fault_of_dates(cert_file, now or datetime.now(UTC))):
        cause, cure = fault, "have it renewed, or set this machine's clock"
    elif cert_file is not None:
        cause = f"{cause}: {cert_file}"
    return BrokerError(cause, cure)


def fault_of_dates(cert_file: Path, now: datetime) -> str | None:
    """Say that the first certificate of a file is not good now; None where it is, or cannot be read."""
    try:
        der = ssl.PEM_cert_to_DER_cert(_first(cert_file.read_text(encoding="ascii")))
        found = TIMES.search(der)
        begins, ends = (_time(found[place] or found[place + 1]) for place in (1, 3)) if found else (None, None)
    except (OSError, ValueError):
        return None
    if ends is not None and now > ends:
        return f"our certificate has expired on {ends:%Y-%m-%d}: {cert_file}"
    if begins is not None and now < begins:
        return f"our certificate is not good before {begins:%Y-%m-%d %H:%M} UTC: {cert_file}"
    return None


def _first(pem: str) -> str:
    begin, end = pem.index(ssl.PEM_HEADER), pem.index(ssl.PEM_FOOTER)
    return pem[begin : end + len(ssl.PEM_FOOTER)]


def _time(text: bytes) -> datetime:
    year = b"" if len(text) == len("20260131063000") else b"20" if text[:2] < b"50" else b"19"
    return datetime.strptime((year + text).decode(), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
