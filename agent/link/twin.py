"""Another client with our id, where the broker does not say that it threw us out for one, as mosquitto 2.0 does not.

It is claimed on evidence alone: how connections end raises the suspicion, and the broker's retained state convicts,
where it carries the instance id of another agent although ours had arrived there.
"""

import socket
from collections.abc import Callable
from typing import Final

from agent.config.tree import Mqtt
from agent.wire import broker
from agent.wire.broker import BrokerError

PROBE_S: Final = 1.0
SENT_AWAY_S: Final = 0.3
"""A broker says nothing before the client does; a proxy that finds no broker closes within a round trip."""
THROWN_OUT_S: Final = 60.0
"""Longer than another client with our id waits: a connection that lived longer ended for another reason."""
THROWN_OUT_MAX: Final = 2


class Twin:
    """Recognises it; ``seen`` looks whether another agent speaks under our id, and is asked on suspicion alone."""

    def __init__(self, mqtt: Mqtt, seen: Callable[[], bool]) -> None:
        self._place = (mqtt.host, mqtt.port)
        self._seen = seen
        self._thrown_out = 0

    def judge(self, error: BrokerError, lived_s: float) -> BrokerError:
        """Say why a connection of so many seconds was lost.

        Whoever loses a connection to a broker that is there a moment later, and that twice in a row, may have been
        thrown out for another.
        """
        if error.code != broker.BROKEN or not self._listens():
            self._thrown_out = 0
            return error
        self._thrown_out = self._thrown_out + 1 if lived_s < THROWN_OUT_S else 1
        if self._thrown_out < THROWN_OUT_MAX:
            return error
        return broker.thrown_out() if self._seen() else broker.ended_again()

    def _listens(self) -> bool:
        """Whether a broker waits for whoever comes. What stands before a dead one takes him in and sends him away."""
        try:
            probe = socket.create_connection(self._place, PROBE_S)
        except OSError:
            return False
        with probe:
            probe.settimeout(SENT_AWAY_S)
            try:
                return bool(probe.recv(1))
            except TimeoutError:
                return True
            except OSError:
                return False
