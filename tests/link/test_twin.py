"""Another client with our id is recognised by how connections end, and nothing else is taken for one."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from agent.config.tree import Mqtt
from agent.link.twin import THROWN_OUT_S, Twin
from agent.wire import broker

LOST = broker.refused(broker.BROKEN)
Host = Callable[[socket.socket], None]


def waits(_guest: socket.socket) -> None:
    """As a broker does."""


def closes(guest: socket.socket) -> None:
    """As a proxy whose broker is gone does."""
    guest.close()


def resets(guest: socket.socket) -> None:
    """As some proxies do, once they have looked for their broker: at once, and the guest's connect() itself fails."""
    threading.Event().wait(0.02)
    guest.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    guest.close()


@contextmanager
def listening(host: Host, *, seen: bool = True) -> Iterator[Twin]:
    """The judge of connections to whoever treats his guests like this."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        guests: list[socket.socket] = []

        def receive() -> None:
            while True:
                try:
                    guest, _address = server.accept()
                except OSError:  # it is over
                    return
                guests.append(guest)
                host(guest)

        thread = threading.Thread(target=receive)
        thread.start()
        try:
            yield Twin(Mqtt(host="127.0.0.1", port=server.getsockname()[1]), lambda: seen)
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)
            for guest in guests:
                guest.close()


def test_twice_thrown_out_by_a_broker_that_is_there() -> None:
    """The first time may have any reason; the second in a row has one."""
    with listening(waits) as twin:
        assert twin.judge(LOST, 1.0) is LOST
        assert twin.judge(LOST, 1.0).code == broker.TAKEN_OVER


def test_nobody_is_blamed_without_evidence() -> None:
    """However often the connection ends, another client is claimed only where one was seen."""
    with listening(waits, seen=False) as twin:
        assert {twin.judge(LOST, 1.0).code for _ in range(4)} <= {broker.BROKEN, None}


def test_a_connection_that_lived_long_begins_anew() -> None:
    """Another client with our id would have thrown it out before."""
    with listening(waits) as twin:
        assert twin.judge(LOST, 1.0) is LOST
        assert twin.judge(LOST, THROWN_OUT_S) is LOST


@pytest.mark.parametrize("host", [closes, resets])
def test_who_sends_everybody_away_is_no_broker(host: Host) -> None:
    """A proxy before a broker that is gone takes whoever comes, and ends it at once, in one way or the other."""
    with listening(host) as twin:
        assert [twin.judge(LOST, 1.0) for _ in range(3)] == [LOST] * 3


def test_a_refusal_is_what_it_says() -> None:
    """A broker that gives a reason needs no guess, and what came before counts no more."""
    refused = broker.refused(broker.TAKEN_OVER)
    with listening(waits) as twin:
        assert twin.judge(LOST, 1.0) is LOST
        assert twin.judge(refused, 1.0) is refused
        assert twin.judge(LOST, 1.0) is LOST
