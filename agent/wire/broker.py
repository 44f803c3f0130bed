"""Why a broker cannot be had, in words a person can act on. Shared by the agent and the controller."""

import socket
import ssl
from pathlib import Path
from typing import Final

from agent.wire.strings import fault_of_password


class BrokerError(Exception):
    """The broker cannot be reached, or refuses us. ``cause`` says why, ``cure`` what to do.

    ``code`` is the reason code of MQTT 5, where there is one.
    """

    def __init__(self, cause: str, cure: str = "", code: int | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.cure = cure
        self.code = code


BROKEN: Final = 128
PROTOCOL: Final = 130
NOT_AUTHORISED: Final = 135
TAKEN_OVER: Final = 142
TOO_LARGE: Final = 149
NO_RETAIN: Final = 154
NO_QOS: Final = 155
NO_WILDCARDS: Final = 162
MQTT5_CURE: Final = "use a broker that speaks MQTT 5, such as mosquitto 1.6 or newer"
DEFECT_CURE: Final = "report it with the broker's name and version: edgepose or the broker does not keep to MQTT 5"
# Every reason code above 0x7F: MQTT 5.0, section 2.4.
REASONS: Final[dict[int, tuple[str, str]]] = {
    BROKEN: (
        "the connection broke",
        "check broker and network; two devices with one device_id also throw each other out",
    ),
    129: ("the broker could not read a packet of ours", DEFECT_CURE),
    PROTOCOL: ("the broker does not keep to MQTT 5", MQTT5_CURE),
    131: ("the broker refuses it for a reason of its own", "look at the broker's log"),
    132: ("the broker does not speak MQTT 5", MQTT5_CURE),
    133: ("the broker does not accept this client id", "let the broker accept the device id as client id"),
    134: ("the broker refuses the user name or password", "check user name and password against the broker's"),
    NOT_AUTHORISED: (
        "the broker says: not authorised",
        "set user name and password, or allow this user in the broker's access list",
    ),
    136: ("the broker is unavailable", "look at the broker's log"),
    137: ("the broker is busy", "it is tried again by itself"),
    138: ("the broker has banned this client", "lift the ban in the broker"),
    139: ("the broker is shutting down", "start the broker again"),
    140: ("the broker wants another way to authenticate", "let the broker take user name and password"),
    141: ("the broker has gone silent", "check the network; the broker did not answer within the keep-alive time"),
    TAKEN_OVER: ("another client came with our client id", "give every device a device_id of its own"),
    143: ("the broker does not accept a topic filter", "check the prefix, and what the broker allows in a topic"),
    144: ("the broker does not accept a topic", "check the prefix, and what the broker allows in a topic"),
    145: ("the broker says: this packet id is in use", DEFECT_CURE),
    146: ("the broker says: it does not know this packet id", DEFECT_CURE),
    147: ("more messages are under way than the broker accepts", "raise the broker's receive maximum"),
    148: ("the broker does not accept a topic alias", DEFECT_CURE),
    TOO_LARGE: ("a message is larger than the broker accepts", "raise the broker's maximum packet size"),
    150: ("messages come faster than the broker accepts", "raise the broker's limit of messages a second"),
    151: ("the broker's quota is exceeded", "raise the broker's limits"),
    152: ("whoever runs the broker ended the connection", "ask whoever runs the broker"),
    153: ("the broker does not accept this kind of payload", "let the broker take JSON below the prefix"),
    NO_RETAIN: ("the broker keeps no retained messages", "allow retained messages in the broker"),
    NO_QOS: ("the broker does not take QoS 1", "allow QoS 1 in the broker"),
    156: ("the broker sends us to another server for now", "set the host to the other server's"),
    157: ("the broker has moved to another server", "set the host to the other server's"),
    158: ("the broker takes no shared subscriptions", DEFECT_CURE),
    159: ("the broker limits the rate of connections", "it is tried again by itself"),
    160: ("the broker ends connections after a time", "raise the broker's longest connection time"),
    161: ("the broker takes no subscription identifiers", DEFECT_CURE),
    NO_WILDCARDS: ("the broker takes no wildcards in subscriptions", "allow wildcards in the broker"),
}


def refused(reason_code: int) -> BrokerError:
    """Put a reason code of MQTT 5 into words."""
    cause, cure = REASONS.get(reason_code, (f"the broker gave reason code {reason_code:#04x}", ""))
    return BrokerError(cause, cure, reason_code)


def thrown_out() -> BrokerError:
    """Say that another client with our id was seen, where the broker does not tell."""
    return BrokerError(
        "another agent speaks under our device_id, and the broker ends our connection for it",
        "give every device a device_id of its own",
        TAKEN_OVER,
    )


def ended_again() -> BrokerError:
    """Say that the connection ends again and again, and that nobody else was seen under our id."""
    return BrokerError(
        "the broker ends our connection again and again, and is there",
        "look at the broker's log; its limits, or a keep-alive of its own, may end connections",
    )


def closed_unanswered() -> BrokerError:
    """Say that the broker took the connection and closed it without a CONNACK."""
    return BrokerError(
        "the broker closed the connection without an answer",
        "check that the port is its MQTT port and whether it wants TLS or a client certificate",
    )


def silent(timeout_s: float) -> BrokerError:
    """Say that somebody took the connection and never answered."""
    return BrokerError(
        f"connected, but no MQTT answer within {timeout_s:g} s",
        "check that the port is the broker's MQTT port and whether it wants TLS",
    )


def unreachable(error: OSError | UnicodeError, host: str) -> BrokerError:
    """Name what stopped the connection before MQTT began."""
    match error:
        case ssl.SSLCertVerificationError():
            cause = f"the broker's certificate is not trusted: {error.verify_message}"
            return BrokerError(
                cause, "name the authority that signed it as CA file, and the host as the certificate does"
            )
        case ssl.SSLError():
            cause = f"TLS failed: {error.reason or error}"
            return BrokerError(cause, "check that the port speaks TLS and whether it wants a client certificate")
        case socket.gaierror() | UnicodeError():
            return BrokerError(f"the host name {host!r} cannot be resolved", "check the broker's host name and the DNS")
        case TimeoutError():
            return BrokerError("no answer to the connection attempt", "check host, port and firewall")
        case ConnectionRefusedError():
            return BrokerError("nothing listens there", "start the broker, or check host and port")
        case ConnectionResetError():
            return BrokerError("the connection was reset", "check that the port is right and whether it speaks TLS")
        case ConnectionError() if "WebSocket" in str(error):
            cure = "check port and path, in the agent mqtt.websocket_path, against the broker's WebSockets"
            return BrokerError(f"no WebSocket of MQTT there: {error}", cure)
        case _:
            return BrokerError(error.strerror or str(error), "check host, port and network")


def tls_context(ca_file: Path | None, cert_file: Path | None, key_file: Path | None) -> ssl.SSLContext:
    """Build a context that verifies the broker. Without a CA file the system's authorities are trusted."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
        if cert_file is not None:
            # The empty password makes an encrypted key an error; without it OpenSSL would ask on the terminal.
            context.load_cert_chain(cert_file, key_file, password="")
    except (OSError, ValueError) as error:
        if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
            cause = f"the key {key_file or cert_file} does not belong to the certificate {cert_file}"
            raise BrokerError(cause, "name the two that were made together") from error
        files = ", ".join(str(file) for file in (ca_file, cert_file, key_file) if file is not None)
        raise BrokerError(
            f"the TLS files cannot be used ({error}): {files}", "check that they are PEM files"
        ) from error
    return context


def read_password(file: Path) -> str:
    """Return the password in a file, without the line end, or the mark at its beginning, that an editor leaves."""
    try:
        password = file.read_text(encoding="utf-8-sig").rstrip("\r\n")
    except UnicodeError as error:
        cause = f"the password file {file} is not UTF-8"
        raise BrokerError(cause, "write it anew as UTF-8 text: the password and nothing else") from error
    except (OSError, ValueError) as error:
        raise BrokerError(f"the password file {file} cannot be read: {error}", "check its path and rights") from error
    if fault := fault_of_password(password):
        raise BrokerError(f"the password in {file} cannot be sent: {fault}", "put the password alone into the file")
    return password
