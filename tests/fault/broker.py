"""The broker: killed, mute, slow, closed to us; a hundred agents that come back, and two that have one id."""

import math
import re
import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import psutil

from agent import doctor
from agent.config import Mqtt
from agent.finding import Level
from agent.link import Link
from agent.reporter import ID_TAKEN
from agent.wire.messages import Event, Keypoints
from agent.wire.topics import Topics
from tests.authority import certify, make_authority, tls_lines
from tests.broker import Broker, Listener
from tests.fault.rig import TOPICS, Ear, Heard, driven, pause, published, running
from tests.fault.table import Row, Stage
from tests.link.proxy import Proxy
from tests.system.process import Entry

RETAINED: Final = ("availability", "info", "state", "metrics")
TOGETHER_S: Final = 60.0
SLOW_BYTES_S: Final = 4000
SLOW_S: Final = 20.0
KEEPALIVE_S: Final = 10


@dataclass(frozen=True, slots=True)
class Outages:
    """What so many deaths of the broker showed; the worst."""

    back_s: float
    rss_mb: float
    """Growth."""
    stall_ms: float
    """Longest time between two results."""
    queued_ms: float
    """Age of the oldest keypoints that came after a return, when they came."""


def killed(stage: Stage) -> Outages:
    """Kill the broker again and again, for short times and long ones."""
    folder = stage.room()
    probe = folder / "probe"
    back, ages, sizes = [], [], []
    with Broker(folder) as broker, driven(broker.port, FAULT_PROBE=str(probe)) as process:
        announced_s(broker, time.perf_counter())
        memory = psutil.Process(process.popen.pid).memory_info
        for outage_s in np.geomspace(1, stage.scale.outage_max_s, stage.scale.outages):
            broker.kill()
            pause(outage_s)
            broker.start()
            took_s, age_ms = announced_s(broker, time.perf_counter())
            back.append(took_s)
            ages.append(age_ms)
            sizes.append(memory().rss / 2**20)
            stage.say(f"away for {outage_s:.0f} s: back after {took_s:.1f} s, {sizes[-1]:.0f} MB")
    stalls = [(later[0] - earlier[0]) * 1e3 for earlier, later in pairwise(published(probe))]
    return Outages(max(back), sizes[-1] - min(sizes[:3]), max(stalls), max(ages))


def announced_s(broker: Broker, since_s: float, timeout_s: float = 60.0) -> tuple[float, float]:
    """Seconds until all that is retained was told again and keypoints came; their age in milliseconds as they came."""
    with Ear(broker.port) as ear:
        last_s = 0.0
        for leaf in RETAINED:
            topic = getattr(TOPICS, leaf)
            last_s = max(last_s, ear.after(0, partial(says, topic, b""), timeout_s).at_s)
        first = ear.after(0, lambda seen: seen.topic == TOPICS.keypoints, timeout_s)
        age_s = first.wall_s - Keypoints.decode(first.payload).captured_at.timestamp()
    return max(last_s, first.at_s) - since_s, age_s * 1e3


def replies_lost(stage: Stage) -> float:
    """Replies and events of switches amid which the broker is killed that do not come when it is back."""
    lost, devices = 0, ("SIMCPU", "CPU") * 3
    with running(stage.room()) as (broker, ear, process):
        for version, device in enumerate(devices, 1):
            command = ear.send("set-device", device=device)
            told = f'"version":{version},'.encode()
            process.wait_log("command.received", partial(names, command))
            gone_s = time.perf_counter()
            broker.kill()
            process.wait_log("switch.done", partial(names, command), 120)
            broker.start()
            ear.event("switch.done", gone_s)
            answered = ear.reply(command)
            ear.after(gone_s, partial(says, TOPICS.state, told))
            lost += answered.status != "succeeded"
            stage.say(f"{device}: {answered.status}, version {version}")
    return float(lost)


def names(command: str, entry: Entry) -> bool:
    """Whether an entry of the log is about a command."""
    return bool(entry["id"] == command)


def says(topic: str, text: bytes, seen: Heard) -> bool:
    """Whether a message on a topic holds a text."""
    return seen.topic == topic and text in seen.payload


@dataclass(frozen=True, slots=True)
class HalfOpen:
    """A connection that is there and carries nothing."""

    noticed_s: float
    back_s: float


def half_open(stage: Stage) -> HalfOpen:
    """Swallow everything on the connection; then let the next one through."""
    folder = stage.room()
    with Broker(folder) as broker, Proxy(broker.port) as proxy, driven(proxy.port) as process:
        announced_s(broker, time.perf_counter())
        proxy.stall()
        stalled_s = time.perf_counter()
        process.wait_log("broker.lost", timeout_s=60)
        noticed_s = time.perf_counter() - stalled_s
        proxy.cut()
        with Ear(broker.port) as ear:
            ear.after(0, lambda seen: seen.topic == TOPICS.availability and seen.payload == b"offline")
            proxy.resume()
            open_s = time.perf_counter()
            online = ear.after(open_s, lambda seen: seen.topic == TOPICS.availability and seen.payload == b"online")
    return HalfOpen(noticed_s, online.at_s - open_s)


@dataclass(frozen=True, slots=True)
class Slow:
    """A link that carries less than is said."""

    stall_ms: float
    disordered: int
    """Keypoints that came after newer ones, and retained topics that never came."""


def slow(stage: Stage) -> Slow:
    """Let so few bytes a second through that most keypoints cannot leave."""
    folder = stage.room()
    probe = folder / "probe"
    with (
        Broker(folder) as broker,
        Proxy(broker.port) as proxy,
        Ear(broker.port) as ear,
        driven(proxy.port, FAULT_PROBE=str(probe)),
    ):
        ear.pose(0, 120)
        slow_s = time.perf_counter()
        proxy.throttle(SLOW_BYTES_S)
        pause(SLOW_S)
        heard = ear.since(slow_s)
        rows = [row for row in published(probe) if row[0] > slow_s]
    seqs = [Keypoints.decode(seen.payload).seq for seen in heard if seen.topic == TOPICS.keypoints]
    stage.say(f"{len(seqs)} of {len(rows)} keypoints came through {SLOW_BYTES_S} bytes a second")
    assert 0 < len(seqs) < len(rows), "the link was not slow"
    missing = {TOPICS.metrics} - {seen.topic for seen in heard}
    stalls = [(later[0] - earlier[0]) * 1e3 for earlier, later in pairwise(rows)]
    return Slow(max(stalls), sum(later <= earlier for earlier, later in pairwise(seqs)) + len(missing))


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
        assert len(kept) >= 900, f"only {len(kept)} events were kept"
        assert link.stats().letters_dropped >= 99_000
    return grown


def crowd(stage: Stage) -> float:
    """Seconds over which so many agents return to a broker that was restarted; the first to the last."""
    lock, back = threading.Lock(), []
    restarted = threading.Event()

    def on_state(connected: bool) -> None:
        if connected and restarted.is_set():
            with lock:
                back.append(time.perf_counter())

    with ExitStack() as stack:
        broker = stack.enter_context(Broker(stage.room(), ("allow_anonymous true", "max_connections -1")))
        mqtt = Mqtt(host=broker.host, port=broker.port)
        links = [
            stack.enter_context(Link(mqtt, Topics(f"box-{number}"), on_state=on_state))
            for number in range(stage.scale.agents)
        ]
        until(lambda: all(link.stats().connected for link in links), 60)
        restarted.set()
        broker.kill()
        broker.start()
        up_s = time.perf_counter()
        until(lambda: len(back) >= len(links), 60)
        since = sorted(moment - up_s for moment in back)
        busiest = max(sum(0 <= other - moment < 1 for other in since) for moment in since)
        stage.say(
            f"{len(links)} back after {since[0]:.1f} to {since[-1]:.1f} s, half of them after "
            f"{statistics.median(since):.1f} s, at most {busiest} in one second"
        )
    return since[-1] - since[0]


def until(true: Callable[[], bool], timeout_s: float) -> None:
    """Wait until something is so."""
    for _ in range(math.ceil(timeout_s / 0.05)):
        if true():
            return
        pause(0.05)
    raise AssertionError(f"not so after {timeout_s:g} s")


def twins(stage: Stage) -> float:
    """Connections in a minute of two agents with one id, together; each tells of the other."""
    folder = stage.room()
    lines = ("allow_anonymous true", "log_type all", "connection_messages true")
    with (
        Broker(folder, lines) as broker,
        Ear(broker.port) as ear,
        driven(broker.port),
        driven(broker.port),
    ):
        ear.event("broker.taken_over", 0, 60)
        started = connects(folder, broker)
        pause(TOGETHER_S)
        made = connects(folder, broker) - started
        error = next((state.last_error for state in reversed(ear.states()) if state.last_error), None)
        assert error is not None, "no state tells of it"
        assert error.startswith(ID_TAKEN), error
        found = doctor.device_id(Mqtt(host=broker.host, port=broker.port), TOPICS)
        assert found.level is Level.FAIL, found
        told = [Event.decode(seen.payload) for seen in ear.heard if seen.topic == TOPICS.event]
        stage.say(f"{made} connections; {sum(event.code == 'broker.taken_over' for event in told)} events")
    return float(made)


def connects(folder: Path, broker: Broker) -> int:
    """Connections of agents so far, by the broker's own log."""
    log = (folder / f"mosquitto-{broker.port}.log").read_text(encoding="utf-8")
    return len(re.findall(r"New client connected from \S+ as edgepose-demo ", log))


def wrong_password(stage: Stage) -> float:
    """Seconds from the right password in the file to the agent at the broker."""
    folder = stage.room()
    passwords, file = folder / "passwords", folder / "password"
    passwords.touch(0o600)
    subprocess.run(["mosquitto_passwd", "-b", str(passwords), "demo", "right"], check=True, capture_output=True)
    file.write_text("wrong")
    lines = ("allow_anonymous false", f"password_file {passwords}")
    account = {"EDGEPOSE_MQTT__USERNAME": "demo", "EDGEPOSE_MQTT__PASSWORD_FILE": str(file)}
    with Broker(folder, lines) as broker, driven(broker.port, **account) as process:
        lost = process.wait_log("broker.lost")
        assert lost["cure"], f"no cure in {lost}"
        process.wait_log("engine.ready")
        righted_s = time.perf_counter()
        file.write_text("right")
        process.wait_log("broker.connected")
        back_s = time.perf_counter() - righted_s
    assert not any("wrong" in line or "right" in line for line in process.errors), "a password stands in the log"
    return back_s


def expired_certificate(stage: Stage) -> float:
    """Seconds from a broker whose certificate was renewed to all being told there again."""
    folder = stage.room()
    make_authority(folder)
    certify(folder, "broker", days=-1)
    tls = {"EDGEPOSE_MQTT__TLS__ENABLED": "true", "EDGEPOSE_MQTT__TLS__CA_FILE": str(folder / "ca.pem")}
    with Broker(folder, tls_lines(folder)) as broker, driven(broker.port, **tls) as process:
        lost = process.wait_log("broker.lost")
        assert "expired" in lost["cause"], f"the log does not name it: {lost}"
        process.wait_log("engine.ready")
        certify(folder, "broker")
        broker.kill()
        broker.start()
        renewed_s = time.perf_counter()
        process.wait_log("broker.connected")
        return time.perf_counter() - renewed_s


LINK = "tests/link/test_link.py"
STALLS = "tests/link/test_link_stalls.py"
ACCESS = "tests/link/test_link_access.py"
OUTBOX = "tests/link/test_outbox.py"
KILLED = (f"{LINK}::test_a_killed_broker_hears_everything_again",)
ROWS = (
    Row(
        "broker.killed",
        "After each of twenty kill -9 of the broker, away for 1 to 60 s, all that is retained is told again",
        9.0,
        "s",
        lambda stage: stage.once(killed).back_s,
        ("tests/system/test_outage.py::test_a_broker_that_comes_late_and_dies", *KILLED),
    ),
    Row(
        "broker.memory",
        "The agent's memory grows over those twenty outages by no more than this",
        5.0,
        "MB",
        lambda stage: stage.once(killed).rss_mb,
        (f"{OUTBOX}::test_letters_are_bounded_and_the_oldest_gives_way",),
    ),
    Row(
        "broker.pipeline",
        "Frames are looked at all the while, 100 ms apart: the longest time between two of them",
        500.0,
        "ms",
        lambda stage: stage.once(killed).stall_ms,
        ("tests/system/test_outage.py::test_a_broker_that_comes_late_and_dies",),
    ),
    Row(
        "broker.keypoints",
        "No keypoints wait for the broker: the first after a return are this old when they arrive",
        500.0,
        "ms",
        lambda stage: stage.once(killed).queued_ms,
        (*KILLED, f"{OUTBOX}::test_one_keypoints_message_waits_and_dies_with_the_connection"),
    ),
    Row(
        "broker.replies",
        "Replies, events and state of what was done while the broker was away come when it is back; lost ones",
        0.0,
        "replies",
        replies_lost,
        ("tests/link/test_link_commands.py::test_replies_survive_the_broker",),
    ),
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
        (f"{OUTBOX}::test_letters_are_bounded_and_the_oldest_gives_way",),
    ),
    Row(
        "broker.password",
        "A wrong password is told with its cure, and the right one is used without a restart",
        9.0,
        "s",
        wrong_password,
        (f"{ACCESS}::test_a_wrong_password_is_named_and_can_be_put_right",),
    ),
    Row(
        "broker.certificate",
        "An expired certificate of the broker is named as such, and a renewed one needs no restart of the agent",
        9.0,
        "s",
        expired_certificate,
        (f"{ACCESS}::test_an_expired_certificate_is_named",),
    ),
    Row(
        "broker.crowd",
        "A hundred agents return to a broker that was restarted, spread over",
        5.0,
        "s",
        crowd,
        ("tests/fault/test_broker.py::test_a_crowd_is_spread_by_the_policy",),
        at_least=True,
    ),
    Row(
        "broker.twins",
        "Two agents with one id connect so often in a minute, together; event, state and `agent doctor` tell of it",
        6.0,
        "connects",
        twins,
        (
            f"{LINK}::test_another_client_with_our_id_is_told_and_given_time",
            "tests/doctor/test_doctor.py::test_an_id_that_two_agents_have",
        ),
    ),
)
