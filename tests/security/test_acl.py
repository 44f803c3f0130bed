"""The broker configuration operators are given, on a real mosquitto."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.wire.broker import BrokerError
from controller.client.address import Address
from controller.client.connection import Client
from controller.errors import BrokerUnreachableError
from tests.authority import context, make_authority, secure_lines, tls_lines
from tests.broker import Broker
from tests.security.acl_matrix import COMMANDS, DEVICES, differences, measured, table
from tests.security.visitor import TurnedAwayError, Visitor

A, B = DEVICES

# Paho drops the socket of a failed TLS handshake without closing it; the interpreter closes it at once, and complains.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("authority")
    make_authority(folder, *DEVICES)
    return folder


@pytest.fixture
def broker(authority: Path) -> Iterator[Broker]:
    with Broker(authority, secure_lines(authority)) as running:
        yield running


def test_the_matrix_is_the_wanted_one(tmp_path: Path) -> None:
    """No device speaks for or reads another, a viewer commands nobody, and who has no good certificate is kept out."""
    matrix = measured(tmp_path)
    assert not differences(matrix), table(matrix)


def test_a_line_too_many_is_noticed(tmp_path: Path) -> None:
    """An access list that lets viewers command is told from the wanted one, on the topics of commands alone."""
    wrong = differences(measured(tmp_path, "", "user viewer", "topic write edgepose/+/command/+"))
    assert wrong == [f"viewer on edgepose/{device}/{leaf}: w, wanted -" for device in DEVICES for leaf in COMMANDS]


def test_nobody_is_who_the_certificate_does_not_say(authority: Path, broker: Broker) -> None:
    """A device that gives the operator's name as its user name stays the device its certificate names."""
    liar = Visitor(broker.port, context(authority, A))
    liar.client.username_pw_set("operator", "operator")
    with liar, Visitor(broker.port, context(authority, B), [f"edgepose/{B}/command/+"]) as device:
        assert not liar.publish(f"edgepose/{B}/command/pause", b"{}")
        with Visitor(broker.port, context(authority, "operator")) as operator:
            assert operator.publish(f"edgepose/{B}/command/resume", b"{}")
        device.wait(f"edgepose/{B}/command/resume", b"{}")
        assert not device.heard(f"edgepose/{B}/command/pause", b"{}")


def test_who_takes_anothers_client_id_cuts_it_off_and_learns_nothing(authority: Path, broker: Broker) -> None:
    """What mosquitto cannot forbid: a device under another's client id ends its connection. It reads nothing of it."""
    command, own = f"edgepose/{B}/command/pause", f"edgepose/{A}/command/pause"
    with (
        Visitor(broker.port, context(authority, "operator")) as operator,
        Visitor(broker.port, context(authority, B), [command], client_id="edgepose-b") as device,
        Visitor(broker.port, context(authority, A), [command, own], client_id="edgepose-b") as thief,
    ):
        device.wait_cut()
        assert operator.publish(command, b"{}")
        assert operator.publish(own, b"{}")
        thief.wait(own, b"{}")
        assert not thief.heard(command, b"{}")


@pytest.mark.parametrize("name", ["", "foreign", "expired"])
def test_the_controller_is_told_why_it_is_turned_away(authority: Path, broker: Broker, name: str) -> None:
    """Without a good certificate there is no connection, and the reason leads to the certificate."""
    cert_file, key_file = (authority / f"{name}.pem", authority / f"{name}.key") if name else (None, None)
    address = Address(
        "127.0.0.1", broker.port, tls=True, ca_file=authority / "ca.pem", cert_file=cert_file, key_file=key_file
    )
    with pytest.raises(BrokerUnreachableError) as told, Client(address, timeout_s=30):
        pass
    assert "certificate" in f"{told.value} {told.value.hint}"


def test_a_device_cannot_play_the_broker(authority: Path, tmp_path: Path) -> None:
    """A device's certificate does not convince another that it has reached the broker."""
    lines = [line.replace("broker.", f"{A}.") for line in tls_lines(authority)]
    with Broker(tmp_path, lines) as impostor, pytest.raises(TurnedAwayError, match="certificate purpose"):
        Visitor(impostor.port, context(authority, B)).__enter__()


def test_plain_mqtt_is_not_spoken(broker: Broker) -> None:
    """There is no way in beside TLS."""
    with pytest.raises(TurnedAwayError):
        Visitor(broker.port, None).__enter__()


def test_a_key_is_its_owners_alone(authority: Path) -> None:
    """No key the script makes can be read by others, and each certificate by everybody."""
    assert {path.stat().st_mode & 0o777 for path in authority.glob("*.key")} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in authority.glob("*.pem")} == {0o644}
    with pytest.raises(BrokerError):
        context(authority, "nobody")
