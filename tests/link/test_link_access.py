"""Passwords, access lists and TLS, against a broker that insists on them."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.authority import certify, make_authority, tls_lines
from tests.broker import Broker
from tests.link.conftest import TOPICS, Logs, link_to

PASSWORD = "correct horse"

# Paho drops the socket of a failed TLS handshake without closing it; the interpreter closes it at once, and complains.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("authority")
    make_authority(folder)
    return folder


@pytest.fixture
def lines(authority: Path) -> list[str]:
    return tls_lines(authority)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Broker]:
    """Run a broker that wants a password, and lets `agent` write its state and read nothing."""
    if shutil.which("mosquitto_passwd") is None:
        pytest.skip("mosquitto_passwd is not installed")
    passwords, access = tmp_path / "passwords", tmp_path / "access"
    subprocess.run(["mosquitto_passwd", "-c", "-b", str(passwords), "agent", PASSWORD], check=True)
    access.write_text(f"user agent\ntopic write {TOPICS.availability}\ntopic write {TOPICS.state}\n")
    access.chmod(0o600)
    with Broker(tmp_path, ["allow_anonymous false", f"password_file {passwords}", f"acl_file {access}"]) as broker:
        yield broker


def test_a_wrong_password_is_named_and_can_be_put_right(guarded: Broker, tmp_path: Path, logs: Logs) -> None:
    """A refused password is told once, without the password, and the corrected file is used without a restart."""
    file = tmp_path / "password"
    file.write_text("wrong secret\n")
    with link_to(guarded.port, username="agent", password_file=file):
        lost = logs.wait("broker.lost")
        file.write_text(f"{PASSWORD}\n")
        logs.wait("broker.connected")
    assert (lost["cause"], bool(lost["cure"])) == ("the broker says: not authorised", True)
    assert len(logs.of("broker.lost")) == 1
    assert not any(secret in repr(logs.entries) for secret in ("wrong secret", PASSWORD))


def test_a_topic_we_may_not_write_is_named(guarded: Broker, logs: Logs) -> None:
    """What the broker's access list swallows is told once, with the topic."""
    with link_to(guarded.port, username="agent", password=PASSWORD) as link:
        link.announce(TOPICS.state, b"allowed")
        link.announce(TOPICS.info, b"swallowed")
        assert logs.wait("broker.denied")["topic"] == TOPICS.info
        link.event(b"swallowed too")
        logs.wait("broker.denied", lambda entry: entry["topic"] == TOPICS.event)
    assert len(logs.of("broker.denied")) == 2


def test_tls_with_the_right_authority(authority: Path, lines: list[str], tmp_path: Path, logs: Logs) -> None:
    """With the authority's certificate the link connects over TLS, and a large message goes through whole."""
    with Broker(tmp_path, lines) as broker:
        tls = {"enabled": True, "ca_file": authority / "ca.pem"}
        with link_to(broker.port, tls=tls) as link:
            link.announce(TOPICS.info, b"i" * 300_000)
            logs.wait("broker.connected")
            for _ in range(50):
                link.keypoints(b"k" * 4000)
        assert not logs.of("broker.lost")


def test_tls_without_the_authority_is_refused(lines: list[str], tmp_path: Path, logs: Logs) -> None:
    """A broker whose certificate nobody vouches for gets no connection, and the log names certificate and cure."""
    with Broker(tmp_path, lines) as broker, link_to(broker.port, tls={"enabled": True}):
        lost = logs.wait("broker.lost")
    assert "certificate is not trusted" in lost["cause"]
    assert "CA file" in lost["cure"]
    assert not logs.of("broker.connected")


def test_an_expired_certificate_is_named(tmp_path: Path, logs: Logs) -> None:
    """A broker whose certificate has expired is told as that; renewed, it is connected to without a restart of ours."""
    make_authority(tmp_path)
    certify(tmp_path, "broker", days=-1)
    tls = {"enabled": True, "ca_file": tmp_path / "ca.pem"}
    with Broker(tmp_path, tls_lines(tmp_path)) as broker, link_to(broker.port, tls=tls):
        assert "expired" in logs.wait("broker.lost")["cause"]
        certify(tmp_path, "broker")
        broker.kill()
        broker.start()
        logs.wait("broker.connected")


def test_plain_where_tls_is_wanted_is_named(lines: list[str], tmp_path: Path, logs: Logs) -> None:
    """Speaking plain MQTT to a TLS port leads to a cause that mentions TLS."""
    with Broker(tmp_path, lines) as broker, link_to(broker.port):
        assert "TLS" in logs.wait("broker.lost")["cure"]


def test_tls_where_plain_is_spoken_is_named(broker: Broker, logs: Logs) -> None:
    """Speaking TLS to a plain port leads to a cause that mentions TLS."""
    with link_to(broker.port, tls={"enabled": True}):
        lost = logs.wait("broker.lost")
    assert "TLS" in lost["cause"] + lost["cure"]


def test_a_client_certificate(authority: Path, lines: list[str], tmp_path: Path, logs: Logs) -> None:
    """A broker that wants a client certificate accepts ours, and refuses a link without one with a cause."""
    with Broker(tmp_path, [*lines, "require_certificate true"]) as broker:
        tls = {"enabled": True, "ca_file": authority / "ca.pem"}
        with link_to(broker.port, tls=tls):
            assert "certificate" in logs.wait("broker.lost")["cure"]
        own = {"cert_file": authority / "agent.pem", "key_file": authority / "agent.key"}
        with link_to(broker.port, tls=tls | own):
            logs.wait("broker.connected")
