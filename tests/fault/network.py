"""What lies between agent and broker: a connection that carries nothing, little, or nothing for long."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import psutil

from agent.config.tree import Mqtt
from agent.link import Link
from agent.link.outbox import LETTERS_MAX
from agent.wire.messages import ONLINE, Keypoints
from tests.broker import Broker, Listener
from tests.fault.rig import TOPICS, Ear, driven, longest_gap_ms, pause, published
from tests.fault.table import Row, Stage
from tests.link.proxy import Proxy
from tests.system.process import Process

SLOW_BYTES_S: Final = 4000
SLOW_S: Final = 20.0
KEEPALIVE_S: Final = 10


@contextmanager
def behind_proxy(stage: Stage) -> Iterator[tuple[Proxy, Ear, Process, Path]]:
    """A proxy before a broker, an ear at the broker, an agent behind the proxy, and the file its probe writes."""
    folder = stage.room()
    probe = folder / "probe"
    with (
        Broker(folder) as broker,
        Proxy(broker.port) as proxy,
        Ear(broker.port) as ear,
        driven(proxy.port, FAULT_PROBE=str(probe)) as process,
    ):
        yield proxy, ear, process, probe


@dataclass(frozen=True, slots=True)
class HalfOpen:
    """A connection that is there and carries nothing; the worst."""

    noticed_s: float
    back_s: float
    stall_ms: float
    """Longest time between two results."""


def half_open(stage: Stage) -> HalfOpen:
    """The network between agent and broker takes nothing more, or swallows everything; then it is whole again."""
    found = []
    for way in (Proxy.stall, Proxy.swallow):
        found.append(cut_off(stage, way))
        noticed_s, back_s, stall_ms = astuple(found[-1])
        stage.say(
            f"{way.__name__}: given up after {noticed_s:.1f} s, back after {back_s:.1f} s; "
            f"at most {stall_ms:.0f} ms between two frames"
        )
    return HalfOpen(*map(max, zip(*map(astuple, found), strict=True)))


def cut_off(stage: Stage, way: Callable[[Proxy], None]) -> HalfOpen:
    """One of the ways."""
    with behind_proxy(stage) as (proxy, ear, process, probe):
        ear.announced(0)
        gone_s = time.perf_counter()
        way(proxy)
        process.wait_log("broker.lost", timeout_s=60)
        noticed_s = time.perf_counter() - gone_s
        proxy.cut()
        proxy.resume()
        back_s = ear.announced(time.perf_counter())
        last = [seen.payload for seen in ear.heard if seen.topic == TOPICS.availability][-1]
        assert last == ONLINE, "the will of the lost connection overtook the new one"
    return HalfOpen(noticed_s, back_s, longest_gap_ms(probe, gone_s))


@dataclass(frozen=True, slots=True)
class Slow:
    """A link that carries less than is said."""

    stall_ms: float
    disordered: int
    """Keypoints that came after newer ones, and retained topics that never came."""


def slow(stage: Stage) -> Slow:
    """Let so few bytes a second through that most keypoints cannot leave."""
    with behind_proxy(stage) as (proxy, ear, _process, probe):
        ear.pose(0, 120)
        slow_s = time.perf_counter()
        proxy.throttle(SLOW_BYTES_S)
        pause(SLOW_S)
        heard = ear.since(slow_s)
        said = sum(at_s > slow_s for at_s, *_ in published(probe))
        gap_ms = longest_gap_ms(probe, slow_s)
    seqs = [Keypoints.decode(seen.payload).seq for seen in heard if seen.topic == TOPICS.keypoints]
    stage.say(f"{len(seqs)} of {said} keypoints came through {SLOW_BYTES_S} bytes a second")
    assert 0 < len(seqs) < said, "the link was not slow"
    missing = {TOPICS.metrics} - {seen.topic for seen in heard}
    return Slow(gap_ms, sum(later <= earlier for earlier, later in pairwise(seqs)) + len(missing))


def full_queue(stage: Stage) -> float:
    """Megabytes that 100,000 events of an outage leave behind; the last thousand come, in order."""
    folder = stage.room()
    with Broker(folder, start=False) as broker, Link(Mqtt(host=broker.host, port=broker.port), TOPICS) as link:
        memory = psutil.Process().memory_info
        before = memory().rss
        for number in range(100_000):
            link.event(b'{"number": %d, "padding": "%s"}' % (number, b"." * 200))
            link.keypoints(b"." * 4000)
        grown = (memory().rss - before) / 2**20
        broker.start()
        with Listener(broker.port, TOPICS.event) as listener:
            listener.wait(lambda seen: b'"number": 99999,' in seen.payload)
            numbers = [int(re.findall(rb"\d+", payload)[0]) for payload in listener.payloads(TOPICS.event)]
        kept = list(dict.fromkeys(numbers))
        assert kept == list(range(kept[0], 100_000)), "an event of the last is missing, or out of order"
        stage.say(f"{len(kept)} events came, from number {kept[0]}")
        assert len(kept) == LETTERS_MAX, f"{len(kept)} events were kept, not {LETTERS_MAX}"
    return grown


STALLS = "tests/link/test_link_stalls.py"
ROWS = (
    Row(
        "broker.half-open",
        f"A connection that is there and carries nothing is given up, with a keep-alive of {KEEPALIVE_S} s",
        2.0 * KEEPALIVE_S + 1,
        "s",
        lambda stage: stage.once(half_open).noticed_s,
        (f"{STALLS}::test_a_dead_peer_is_noticed",),
    ),
    Row(
        "broker.half-open-back",
        "The agent is back once the network carries something again",
        9.0,
        "s",
        lambda stage: stage.once(half_open).back_s,
        (f"{STALLS}::test_a_dead_peer_is_noticed",),
    ),
    Row(
        "broker.slow",
        f"A link of {SLOW_BYTES_S} bytes a second does not hold up the pipeline: the longest time between two frames",
        500.0,
        "ms",
        lambda stage: stage.once(slow).stall_ms,
        (f"{STALLS}::test_a_stalled_link_neither_blocks_nor_hoards",),
    ),
    Row(
        "broker.slow-order",
        "What comes through it comes in order, the metrics too; keypoints out of order and topics missing",
        0.0,
        "messages",
        lambda stage: float(stage.once(slow).disordered),
        (f"{STALLS}::test_a_stalled_link_neither_blocks_nor_hoards",),
    ),
    Row(
        "broker.full-queue",
        "100,000 events of an outage cost no more memory than this; the last thousand arrive in order",
        5.0,
        "MB",
        full_queue,
        ("tests/link/test_outbox.py::test_letters_are_bounded_and_the_oldest_gives_way",),
    ),
)
