"""Agent and controller through WebSockets, and over IPv6, in whichever way its address is written."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.config.tree import Mqtt
from agent.link import Link
from controller.client.address import Address
from controller.client.connection import Client
from controller.errors import BrokerUnreachableError
from tests.authority import make_authority
from tests.broker import Broker, Listener
from tests.link.conftest import TOPICS, Logs
from tests.websocket import TlsDoor, WebSocketDoor

# Paho drops the socket of a failed handshake without closing it; the interpreter closes it at once, and complains.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed <socket.socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning"),
]


def test_the_agent_through_websockets(broker: Broker, logs: Logs) -> None:
    """With `mqtt.transport` everything goes through: retained, large, and many at once."""
    with WebSocketDoor(broker.port) as door, Listener(broker.port) as listener:
        mqtt = Mqtt(host="127.0.0.1", port=door.port, transport="websockets")
        with Link(mqtt, TOPICS) as link:
            link.announce(TOPICS.info, b"i" * 300_000)
            for number in range(200):
                link.event(b"%d" % number)
            listener.wait_for(TOPICS.event, b"199")
            listener.wait_for(TOPICS.info, b"i" * 300_000)
        assert listener.payloads(TOPICS.event) == [b"%d" % number for number in range(200)]
        listener.wait_for(TOPICS.availability, b"offline")
    assert not logs.of("broker.lost")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("authority")
    make_authority(folder)
    return folder


@contextmanager
def secure_door(port: int, authority: Path) -> Iterator[TlsDoor]:
    """WebSockets over TLS before a broker, with the broker's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "broker.pem", authority / "broker.key")
    with WebSocketDoor(port) as door, TlsDoor(door.port, context) as secure:
        yield secure


def test_the_agent_through_websockets_over_tls(broker: Broker, logs: Logs, authority: Path) -> None:
    """With `mqtt.tls` too it is wss: retained, large and many go out, commands come in."""
    came = threading.Event()
    with secure_door(broker.port, authority) as door, Listener(broker.port) as listener:
        tls = {"enabled": True, "ca_file": authority / "ca.pem"}
        mqtt = Mqtt.model_validate({"host": "127.0.0.1", "port": door.port, "transport": "websockets", "tls": tls})
        with Link(mqtt, TOPICS, on_command=lambda _: came.set()) as link:
            link.announce(TOPICS.info, b"i" * 300_000)
            for number in range(200):
                link.event(b"%d" % number)
            listener.wait_for(TOPICS.event, b"199")
            listener.wait_for(TOPICS.info, b"i" * 300_000)
            listener.client.publish(TOPICS.command("pause"), b"{}", 1)
            assert came.wait(20)
        assert listener.payloads(TOPICS.event) == [b"%d" % number for number in range(200)]
        listener.wait_for(TOPICS.availability, b"offline")
    assert not logs.of("broker.lost")


def test_a_broker_of_another_authority_is_not_trusted_through_websockets(
    broker: Broker, logs: Logs, authority: Path
) -> None:
    """Who signed the certificate is asked for wss as well."""
    with (
        secure_door(broker.port, authority) as door,
        Link(
            Mqtt.model_validate(
                {"host": "127.0.0.1", "port": door.port, "transport": "websockets", "tls": {"enabled": True}}
            ),
            TOPICS,
        ),
    ):
        assert "not trusted" in logs.wait("broker.lost")["cause"]


def test_the_controller_through_websockets_over_tls(broker: Broker, authority: Path) -> None:
    """A wss:// address reaches the broker: what is large comes through whole, in both directions."""
    with secure_door(broker.port, authority) as door:
        given = Address.of(f"wss://127.0.0.1:{door.port}", {"cafile": authority / "ca.pem"})
        with Client(given, timeout_s=10) as client:
            client.subscribe(["a/b"])
            for size in (1, 300_000):
                client.announce("a/b", b"c" * size)
                assert next(client.messages(time.monotonic() + 10)).payload == b"c" * size
        with pytest.raises(BrokerUnreachableError, match="not trusted"):
            Client(Address.of(f"wss://127.0.0.1:{door.port}", {}), timeout_s=10).__enter__()


def test_a_wrong_path_is_told(broker: Broker, logs: Logs) -> None:
    """A web server that has no broker at that path is no crash, but a cause."""
    with (
        WebSocketDoor(broker.port, "/else") as door,
        Link(Mqtt(host="127.0.0.1", port=door.port, transport="websockets"), TOPICS),
    ):
        lost = logs.wait("broker.lost")
    assert "WebSocket" in lost["cause"]
    assert "mqtt.websocket_path" in lost["cure"]
    assert not logs.of("link.crashed")


@pytest.mark.parametrize("path", ["", "/", "/mqtt"])
def test_the_controller_through_websockets(broker: Broker, path: str) -> None:
    """A ws:// address reaches the broker; without a path it is /mqtt."""
    with WebSocketDoor(broker.port) as door, Listener(broker.port) as listener:
        with Client(Address.of(f"ws://127.0.0.1:{door.port}{path}", {}), timeout_s=10) as client:
            client.announce("a/b", b"c")
        listener.wait_for("a/b", b"c")


def test_addresses_and_their_ports() -> None:
    """Each scheme has its port and its security; a certificate turns TLS on in each."""
    found = {
        text: (address.host, address.port, address.tls, address.websocket_path)
        for text in ("h", "mqtts://h", "ws://h", "wss://h/x", "::1", "[::1]:1884", "mqtt://[::1]")
        for address in [Address.of(text, {})]
    }
    assert found == {
        "h": ("h", 1883, False, None),
        "mqtts://h": ("h", 8883, True, None),
        "ws://h": ("h", 80, False, "/mqtt"),
        "wss://h/x": ("h", 443, True, "/x"),
        "::1": ("::1", 1883, False, None),
        "[::1]:1884": ("::1", 1884, False, None),
        "mqtt://[::1]": ("::1", 1883, False, None),
    }
    assert Address.of("ws://h", {"cafile": Path("ca")}).port == 443


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_the_agent_over_ipv6(tmp_path: Path, logs: Logs, host: str) -> None:
    """Either spelling connects, and what is told has brackets."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"no IPv6 on loopback: {error}")
    with Broker(tmp_path) as broker:
        broker.stop()
        config = broker._config
        config.write_text(config.read_text().replace("127.0.0.1", "::1"))
        broker.host = "::1"
        broker.start()
        with Link(Mqtt(host=host, port=broker.port), TOPICS):
            assert logs.wait("broker.connected")["broker"] == f"[::1]:{broker.port}"
