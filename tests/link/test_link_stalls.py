"""The link when the network stalls, dies silently, or never answers."""

import socket
import time
import tracemalloc
from collections.abc import Callable

import pytest

from tests.broker import Broker, Listener
from tests.link.conftest import TOPICS, Logs, States, link_to
from tests.link.proxy import Proxy

OFFERED = 5000
SIZE = 4000


def test_a_stalled_link_neither_blocks_nor_hoards(broker: Broker, states: States) -> None:
    """While nobody reads, keypoints() returns at once, one message waits, and every replaced one is counted."""
    with (
        Listener(broker.port, TOPICS.keypoints) as listener,
        Proxy(broker.port) as proxy,
        link_to(proxy.port, states) as link,
    ):
        states.wait(True)
        proxy.stall()
        tracemalloc.start()
        for number in range(OFFERED):
            link.keypoints(b"%08d" % number + b"." * SIZE)
        hoarded, _peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert link.stats().superseded > OFFERED / 2
        assert hoarded < 100 * SIZE
        proxy.resume()
        listener.wait(lambda seen: seen.payload.startswith(b"%08d" % (OFFERED - 1)))
        arrived = [int(payload[:8]) for payload in listener.payloads(TOPICS.keypoints)]
        assert arrived == sorted(arrived)
        assert len(arrived) + link.stats().superseded == OFFERED
        assert len(arrived) < 50  # what waited in the kernel, mostly in the proxy's half
        assert states.seen == [True]


@pytest.mark.parametrize("way", [Proxy.stall, Proxy.swallow])
def test_a_dead_peer_is_noticed(broker: Broker, states: States, logs: Logs, way: Callable[[Proxy], None]) -> None:
    """A peer that stays connected and says nothing is given up after about twice the keep-alive, then had again."""
    with Proxy(broker.port) as proxy, link_to(proxy.port, states, keepalive_s=2) as link:
        states.wait(True)
        way(proxy)
        link.event(b"said into the void")
        states.wait(True, False)
        assert logs.wait("broker.lost")["cause"] == "the broker has gone silent"
        with Listener(broker.port) as listener:
            proxy.cut()
            proxy.resume()
            states.wait(True, False, True)
            assert listener.wait_for(TOPICS.availability, b"online").retain
            listener.wait_for(TOPICS.event, b"said into the void")


@pytest.mark.parametrize("answer", [b"", b"\x20\x03\x00\x00\x00"])
def test_closing_under_a_black_hole_is_bounded(answer: bytes, logs: Logs) -> None:
    """A broker that never answers, or only to CONNECT, cannot hold up the end: close() takes 1.5 s at most."""
    with socket.create_server(("127.0.0.1", 0)) as hole:
        link = link_to(hole.getsockname()[1])
        with link:
            taken, _address = hole.accept()
            if answer:
                taken.sendall(answer)
                logs.wait("broker.connected")
            began = time.monotonic()
        took_s = time.monotonic() - began
        taken.close()
    assert took_s < 1.5 + 0.2  # what a busy machine may take to wake a thread
    assert not link.stats().connected


def test_only_a_said_goodbye_cancels_the_will(logs: Logs) -> None:
    """While the broker acknowledges nothing, no DISCONNECT is sent: it would make the broker forget the last will."""
    with socket.create_server(("127.0.0.1", 0)) as deaf, link_to(deaf.getsockname()[1]) as link:
        taken, _address = deaf.accept()
        with taken, taken.makefile("rb") as stream:
            taken.sendall(b"\x20\x03\x00\x00\x00")
            logs.wait("broker.connected")
            link.close()
            assert not stream.read().endswith(b"\xe0\x00")


def test_the_goodbye_is_the_last_word(logs: Logs) -> None:
    """`offline` does not overtake the final state, which waits until the state before it is acknowledged."""
    with socket.create_server(("127.0.0.1", 0)) as deaf, link_to(deaf.getsockname()[1]) as link:
        taken, _address = deaf.accept()
        with taken:
            taken.sendall(b"\x20\x03\x00\x00\x00")
            logs.wait("broker.connected")
            link.announce(TOPICS.state, b"running")
            received = b""
            while b"online" not in received or b"running" not in received:
                received += taken.recv(4096)
            taken.sendall(b"\x40\x02\x00\x01")  # `online` is acknowledged, and nothing else
            link.announce(TOPICS.state, b"stopping")
            link.close()
            with taken.makefile("rb") as stream:
                assert b"offline" not in stream.read()


def test_a_goodbye_under_a_stall_arrives(broker: Broker, states: States) -> None:
    """A link that is closed while it stalls is offline when the network is back."""
    with Listener(broker.port, TOPICS.availability) as listener, Proxy(broker.port) as proxy:
        with link_to(proxy.port, states):
            states.wait(True)
            listener.wait_for(TOPICS.availability, b"online")
            proxy.stall()
        proxy.resume()
        assert listener.wait_for(TOPICS.availability, b"offline").retain
