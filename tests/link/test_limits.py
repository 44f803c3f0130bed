"""The link at brokers that take less than MQTT 5 gives, and drop whoever does not keep to it."""

import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.config.tree import Mqtt
from agent.link import Dropped, Link
from agent.link.learned import FADES_AFTER_S, Learned
from agent.wire.broker import REASONS, BrokerError, refused
from agent.wire.commands import Address, ErrorCode, Incoming, Reply, ReplyStatus
from agent.wire.limits import Limits, publish_bytes
from tests.broker import Broker, Listener
from tests.link.conftest import TOPICS, Logs, States
from tests.strict import StrictBroker

ROOMY = Limits(topic_aliases=10)


class Troubles:
    """Keeps what the link could not do."""

    def __init__(self) -> None:
        self.seen: list[Dropped] = []
        self._news = threading.Condition()

    def __call__(self, trouble: BrokerError | Dropped) -> None:
        assert isinstance(trouble, Dropped), trouble
        with self._news:
            self.seen.append(trouble)
            self._news.notify_all()

    def wait(self, count: int = 1) -> None:
        with self._news:
            assert self._news.wait_for(lambda: len(self.seen) >= count, 30), self.seen


def a_reply(command: str, picture: int, *, id_: str = "one") -> bytes:
    """The answer to a command, as large as asked for."""
    return Reply(
        device_id=TOPICS.device_id,
        sent_at=datetime.now(UTC),
        id=id_,
        command=command,
        status=ReplyStatus.SUCCEEDED,
        result={"picture": "x" * picture},
        state_version=3,
    ).encode()


@pytest.mark.parametrize(
    "limits",
    [
        Limits(in_flight=1),
        Limits(qos=0),
        Limits(retains=False),
        Limits(qos=0, retains=False, in_flight=1, packet_bytes=300),
        Limits(wildcards=False),
        Limits(keepalive_s=3),
        Limits(packet_bytes=120),
    ],
    ids=lambda limits: ", ".join(limits.words()),
)
def test_each_limit_is_kept_to(limits: Limits, states: States) -> None:
    """Whatever the broker announces, one connection is enough, commands arrive, and nobody is dropped for anything."""
    heard: list[Incoming] = []
    came = threading.Event()
    with StrictBroker(limits) as broker:
        mqtt = Mqtt(host=broker.host, port=broker.port)

        def take(incoming: Incoming) -> None:
            heard.append(incoming)
            came.set()

        link = Link(mqtt, TOPICS, on_state=states, on_command=take)
        with Listener(broker.port, TOPICS.event if not limits.wildcards else "#") as listener, link:
            states.wait(True)
            for number in range(50):
                link.announce(TOPICS.state, b"%d" % number)
                link.event(b"%d" % number)
                link.keypoints(b"k")
            listener.wait_for(TOPICS.event, b"49")
            assert listener.payloads(TOPICS.event) == [b"%d" % number for number in range(50)]
            link.event(b"last")
            listener.wait_for(TOPICS.event, b"last")
            listener.client.publish(TOPICS.command("pause"), b"{}", 0)
            assert came.wait(20)
        assert heard[0].topic == TOPICS.command("pause")
        agent = [name for name in broker.connects if name == "edgepose-edge-1"]
        # A last will it does not take is found out by one refusal each; after that there is one connection. One more
        # where a shorter keep-alive time is to be asked for.
        assert len(agent) == 1 + (limits.keepalive_s is not None)
        assert set(broker.offences) <= {0x9A, 0x9B}
        assert len(broker.offences) <= (not limits.retains) + (limits.qos < 1)
    assert states.seen == [True, False]


ITEM = st.tuples(st.sampled_from(["event", "state", "keypoints", "reply"]), st.integers(0, 700))


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    packet_bytes=st.integers(150, 900),
    in_flight=st.integers(1, 25),
    qos=st.integers(0, 2),
    retains=st.booleans(),
    items=st.lists(ITEM, max_size=30),
)
def test_what_fits_arrives_in_order_and_what_does_not_is_told_once(
    packet_bytes: int, in_flight: int, qos: int, retains: bool, items: list[tuple[str, int]]
) -> None:
    """Under any limits: events that fit arrive in order, each topic that does not is told once, nothing goes round.

    A broker that keeps its largest packet to itself is not part of it: it drops the connection for each larger one.
    """
    limits = Limits(packet_bytes, in_flight, qos, retains=retains)
    told = Troubles()
    fits, wanted, large = limits.fits, [], set()
    with StrictBroker(limits) as broker, Listener(broker.port) as listener:
        link = Link(Mqtt(host=broker.host, port=broker.port), TOPICS, on_trouble=told)
        reply = TOPICS.reply("me")
        with link:
            for number, (kind, size) in enumerate(items):
                payload = b"%d " % number + b"x" * size
                topic = {"event": TOPICS.event, "state": TOPICS.state, "keypoints": TOPICS.keypoints}.get(kind, reply)
                if kind in {"event", "reply"}:
                    if fits(publish_bytes(topic, payload)):
                        wanted.append((topic, payload))
                    else:
                        large.add(topic)
                if kind == "event":
                    link.event(payload)
                elif kind == "reply":
                    link.reply(Address(reply, None), payload)
                elif kind == "state":
                    link.announce(TOPICS.state, payload)
                else:
                    link.keypoints(payload)
            link.event(b"end")
            listener.wait_for(TOPICS.event, b"end", timeout_s=60)
        letters = [
            (seen.topic, bytes(seen.payload)) for seen in listener.messages if seen.topic in {TOPICS.event, reply}
        ]
        assert letters == [*wanted, (TOPICS.event, b"end")]
        assert len([name for name in broker.connects if name == "edgepose-edge-1"]) == 1
        assert set(broker.offences) <= {0x9A, 0x9B}
        assert broker.largest <= packet_bytes
    topics = [each.topic for each in told.seen]
    assert len(topics) == len(set(topics))
    assert large <= set(topics) <= {*large, TOPICS.state, TOPICS.keypoints}
    assert all(each.packet_bytes > packet_bytes == each.limit_bytes for each in told.seen)


@pytest.mark.parametrize("command", ["snapshot", "set-device"])
def test_whoever_asked_is_told_by_a_short_reply(command: str) -> None:
    """In place of a reply that is too large comes one without its result, with size, limit, and what is still true."""
    told = Troubles()
    reply_to = TOPICS.reply("me")
    with StrictBroker(Limits(packet_bytes=1000)) as broker, Listener(broker.port) as listener:
        with Link(Mqtt(host=broker.host, port=broker.port), TOPICS, on_trouble=told) as link:
            for number in range(3):
                link.reply(Address(reply_to, b"me"), a_reply(command, 20_000, id_=str(number)))
            listener.wait_count(4)  # and `online`
            told.wait()
        assert broker.connects.count("edgepose-edge-1") == 1
    replies = [Reply.decode(payload) for payload in listener.payloads(reply_to)]
    assert [reply.id for reply in replies] == ["0", "1", "2"]
    assert {reply.status for reply in replies} == {
        ReplyStatus.FAILED if command == "snapshot" else ReplyStatus.SUCCEEDED
    }
    errors = [reply.error for reply in replies if reply.error]
    assert {error.code for error in errors} == {ErrorCode.TOO_LARGE}
    (dropped,) = told.seen
    assert (dropped.topic, dropped.limit_bytes) == (reply_to, 1000)
    assert str(dropped.packet_bytes) in errors[0].message
    assert "1000" in errors[0].message


def test_a_limit_that_is_not_announced_is_found_out(logs: Logs) -> None:
    """A broker that ends the connection over a packet it had not spoken of ends it once, not for ever."""
    told = Troubles()
    with StrictBroker(Limits(packet_bytes=500), silent=True) as broker, Listener(broker.port) as listener:
        with Link(Mqtt(host=broker.host, port=broker.port), TOPICS, on_trouble=told) as link:
            logs.wait("broker.connected")
            link.reply(Address(TOPICS.reply("me"), None), a_reply("snapshot", 5000))
            link.event(b"after it")
            listener.wait_for(TOPICS.event, b"after it")
            listener.wait(lambda seen: seen.topic == TOPICS.reply("me"))
            told.wait()
        assert broker.offences == [0x95]
        assert [Reply.decode(payload).status for payload in listener.payloads(TOPICS.reply("me"))] == ["failed"]
    assert logs.wait("broker.lost")["cause"] == refused(0x95).cause


def test_a_limit_that_was_found_out_is_forgotten(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a broker kept to itself is tried again after an hour: by then it may be another broker."""
    ahead_s = 0.0
    monkeypatch.setattr("agent.link.learned.now_s", lambda: time.monotonic() + ahead_s)
    with StrictBroker(Limits(packet_bytes=500), silent=True) as broker, Listener(broker.port) as listener:
        with Link(Mqtt(host=broker.host, port=broker.port), TOPICS, on_trouble=Troubles()) as link:
            link.event(b"x" * 1000)
            link.event(b"after it")
            listener.wait_for(TOPICS.event, b"after it", timeout_s=40)
            broker.limits = Limits()
            link.event(b"y" * 1000)
            link.announce(TOPICS.state, b"z" * 1000)
            link.event(b"not before its time")
            listener.wait_for(TOPICS.event, b"not before its time")
            ahead_s = FADES_AFTER_S
            listener.wait_for(TOPICS.state, b"z" * 1000)
            link.event(b"y" * 1000)
            listener.wait_for(TOPICS.event, b"y" * 1000)
        assert listener.payloads(TOPICS.event) == [b"after it", b"not before its time", b"y" * 1000]
        assert broker.offences == [0x95]


def test_what_proves_true_again_is_believed_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour, then two, and a day at most; what is found out step by step counts once."""
    at_s, held_s = 0.0, []
    monkeypatch.setattr("agent.link.learned.now_s", lambda: at_s)
    learned = Learned()
    assert not learned.fades()
    for _ in range(7):
        for size in (900, 800):
            learned.learn(0x95, size)
        assert learned.limits.packet_bytes == 799
        began_s = at_s
        while not learned.fades():
            at_s += 1800
        held_s.append(at_s - began_s)
        assert learned.limits == Limits()
    assert held_s == [hours * 3600.0 for hours in (1, 2, 4, 8, 16, 24, 24)]


def test_signs_of_life_come_in_time(states: States) -> None:
    """A broker's own keep-alive time is kept to, whether anything is to be said or not."""
    with StrictBroker(Limits(keepalive_s=3)) as broker:
        with Link(Mqtt(host=broker.host, port=broker.port, keepalive_s=600), TOPICS, on_state=states):
            for _ in range(2):
                assert broker.signs.acquire(timeout=30)
        assert not broker.offences
    assert states.seen == [True, False]
    assert [Limits(keepalive_s=each).turn_s for each in (None, 0, 1, 4, 60)] == [1, 1, 0.125, 0.5, 1]


@pytest.mark.parametrize(("asked_s", "connects"), [(600, [600, 9]), (10, [10, 10, 9]), (9, [9])])
def test_a_broker_that_drops_whoever_has_the_longest_keep_alive_it_allows(
    asked_s: int, connects: list[int], logs: Logs
) -> None:
    """A shorter one is asked for: at once where the broker announced its own, after two outages where it did not."""
    with StrictBroker(Limits(keepalive_s=10), touchy=True) as broker, Listener(broker.port) as listener:
        with Link(Mqtt(host=broker.host, port=broker.port, keepalive_s=asked_s), TOPICS) as link:
            link.event(b"one")
            link.event(b"two")
            listener.wait_for(TOPICS.event, b"two", timeout_s=60)
        assert [asked for name, asked in broker.asked_s if name == "edgepose-edge-1"] == connects
    assert len(logs.of("broker.lost")) == (asked_s == 10) * 2


@pytest.mark.parametrize("line", ["max_packet_size 2000", "message_size_limit 2000"])
def test_mosquittos_own_limits(tmp_path: Path, logs: Logs, line: str) -> None:
    """What mosquitto announces is kept to; what it only refuses, in a way paho ends the connection for, costs one."""
    told = Troubles()
    with (
        Broker(tmp_path, ["allow_anonymous true", line]) as broker,
        Listener(broker.port) as listener,
        Link(Mqtt(host=broker.host, port=broker.port), TOPICS, on_trouble=told) as link,
    ):
        link.reply(Address(TOPICS.reply("me"), None), a_reply("snapshot", 20_000))
        link.event(b"after it")
        listener.wait_for(TOPICS.event, b"after it", timeout_s=40)
        listener.wait(lambda seen: seen.topic == TOPICS.reply("me"), timeout_s=40)
        told.wait()
        assert link.stats().outages == ("message" in line)
    assert len(logs.of("broker.lost")) == ("message" in line)


def test_mosquitto_without_retain_or_qos_1(tmp_path: Path, logs: Logs) -> None:
    """Without either the agent connects all the same, and says what the broker lacks."""
    for lines, words in ((["retain_available false"], "nothing retained"), (["max_qos 0"], "QoS 0 alone")):
        with (
            Broker(tmp_path, ["allow_anonymous true", *lines]) as broker,
            Listener(broker.port) as listener,
            Link(Mqtt(host=broker.host, port=broker.port), TOPICS) as link,
        ):
            link.event(b"e")
            listener.wait_for(TOPICS.event, b"e")
        assert words in logs.of("broker.connected")[-1]["limits"]
    assert not logs.of("broker.lost")


@given(
    topic=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=200),
    payload=st.binary(max_size=300),
    correlation=st.none() | st.binary(max_size=200),
    qos=st.integers(0, 1),
    more=st.sampled_from([0, 16_000, 2_000_000]),
)
def test_the_size_is_what_paho_sends(
    topic: str, payload: bytes, correlation: bytes | None, qos: int, more: int
) -> None:
    """What a message takes is told to the byte, as the standard has it."""
    payload += bytes(more)
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    if correlation is not None:
        properties.CorrelationData = correlation
    packed = properties.pack()  # type: ignore[no-untyped-call]
    remaining = 2 + len(topic.encode()) + 2 * qos + len(packed) + len(payload)
    header = 1 + (1 + (remaining > 127) + (remaining > 16_383) + (remaining > 2_097_151))
    assert publish_bytes(topic, payload, qos=qos, correlation=correlation) == header + remaining


def test_every_reason_has_words() -> None:
    """Each reason code of MQTT 5 that is an error has a cause and a cure."""
    codes = {*range(0x80, 0xA3)} - {0x8F + 0x100}
    assert set(REASONS) == codes
    for code in codes:
        error = refused(code)
        assert error.cause
        assert error.cure
