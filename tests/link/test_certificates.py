"""Certificates of clients that a broker does not take, each told by its reason."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.config.tree import Mqtt
from agent.link import Link
from agent.wire import broker as broker_words
from agent.wire.broker import BrokerError
from agent.wire.certificate import fault_of_dates
from controller.client.address import Address
from controller.client.connection import Client
from controller.errors import BrokerUnreachableError
from tests.authority import make_authority, tls_lines
from tests.broker import Broker
from tests.link.conftest import TOPICS, Logs

# Paho drops the socket of a failed TLS handshake without closing it; the interpreter closes it at once, and complains.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
CASES = [
    (None, "wants a client certificate, and we show none"),
    ("expired", "our certificate has expired on "),
    ("foreign", "does not trust who signed our certificate"),
]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("authority")
    make_authority(folder)
    return folder


def files(authority: Path, name: str | None, *words: str) -> dict[str, Path]:
    """Certificate and key of that name, if any, under these words."""
    found = (authority / "ca.pem", *((authority / f"{name}.pem", authority / f"{name}.key") if name else ()))
    return dict(zip(words, found, strict=False))


@pytest.mark.parametrize("version", ["tlsv1.2", "tlsv1.3"])
@pytest.mark.parametrize(("name", "cause"), CASES)
def test_what_the_broker_has_against_it(
    tmp_path: Path, authority: Path, logs: Logs, name: str | None, cause: str, version: str
) -> None:
    """Agent and controller say the same, in both versions of TLS, and the file where there is one."""
    lines = [*tls_lines(authority), "require_certificate true", f"tls_version {version}"]
    with Broker(tmp_path, lines) as broker:
        tls = {"enabled": True, **files(authority, name, "ca_file", "cert_file", "key_file")}
        with Link(Mqtt.model_validate({"host": "127.0.0.1", "port": broker.port, "tls": tls}), TOPICS):
            lost = logs.wait("broker.lost")
        given = files(authority, name, "cafile", "cert", "key")
        with pytest.raises(BrokerUnreachableError) as caught:
            Client(Address.of(f"127.0.0.1:{broker.port}", given), timeout_s=10).__enter__()
    for text in (lost["cause"], str(caught.value)):
        assert cause in text
        assert name is None or f"{name}.pem" in text
    assert lost["cure"] == caught.value.hint


def test_a_key_of_another_certificate_is_told(authority: Path) -> None:
    """Both files are named."""
    with pytest.raises(BrokerError, match=r"operator\.key does not belong to the certificate .*agent\.pem"):
        broker_words.tls_context(authority / "ca.pem", authority / "agent.pem", authority / "operator.key")


def test_the_dates_of_our_own_file(authority: Path, tmp_path: Path) -> None:
    """Too early and too late are faults; what is no certificate is left to others."""
    now = datetime.now(UTC)
    assert fault_of_dates(authority / "agent.pem", now) is None
    assert "has expired" in str(fault_of_dates(authority / "agent.pem", now + timedelta(days=3)))
    assert "not good before" in str(fault_of_dates(authority / "agent.pem", now - timedelta(days=3)))
    assert fault_of_dates(authority / "agent.key", now) is None
    assert fault_of_dates(tmp_path / "none", now) is None
    assert ssl.PEM_HEADER in (authority / "agent.pem").read_text()
