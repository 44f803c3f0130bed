"""When all that a broker has retained is taken to have come."""

import pytest

from controller.client import connection
from controller.client.address import Address
from controller.client.connection import Client, Received


class SlowBroker:
    """Delivers a retained message in every turn, which takes a while each; its time is the only one there is."""

    def __init__(self, client: Client, count: int, each_s: float) -> None:
        self._client = client
        self._left = count
        self._each_s = each_s
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def turn(self, deadline: float) -> None:
        """In place of the client's own."""
        if not self._left:
            self.now_s = deadline
            return
        self._left -= 1
        self.now_s += self._each_s
        self._client._received.append(Received(f"edgepose/gym-{self._left}/state", b"{}", retained=True))


def test_however_long_a_broker_takes_for_all_nobody_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time-out is for its silence: a busy machine would else show a part of the fleet as all of it."""
    client = Client(Address(host="nowhere", port=1883), timeout_s=1.0)
    broker = SlowBroker(client, 100, 0.2)
    monkeypatch.setattr(connection, "time", broker)
    monkeypatch.setattr(client, "_turn", broker.turn)
    assert len(list(client.retained(1.0))) == 100
    assert broker.now_s == pytest.approx(100 * 0.2 + connection.QUIET_MIN_S)
