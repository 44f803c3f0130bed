"""Commands that come in and replies that go out, over a real broker."""

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.config.tree import Mqtt
from agent.link import Link
from agent.wire.codec import decode
from agent.wire.commands import COMMAND_BYTES_MAX, Address, Incoming
from agent.wire.messages import ONLINE
from agent.wire.topics import group_command
from tests.broker import Broker, Listener, free_port, hang_up, publish
from tests.link.conftest import TOPICS, Logs, States
from tests.link.proxy import Proxy

REPLY = TOPICS.reply("me")
FLOOD = 10_000
GATE = Path("/usr/lib/x86_64-linux-gnu/mosquitto_dynamic_security.so")


class Inbox:
    """Keeps what the link hands over."""

    def __init__(self, then: Callable[[Incoming], None] = lambda _: None) -> None:
        self.seen: list[Incoming] = []
        self._then = then
        self._news = threading.Condition()

    def __call__(self, incoming: Incoming) -> None:
        with self._news:
            self.seen.append(incoming)
            self._news.notify_all()
        self._then(incoming)

    def wait(self, count: int = 1) -> list[Incoming]:
        """Wait for so many commands, as long as they come."""
        with self._news:
            while len(self.seen) < count:
                assert self._news.wait(60), len(self.seen)
            return list(self.seen)


def listening(port: int, inbox: Inbox, states: States | None = None, **mqtt: Any) -> Link:
    """Make a link that takes commands, not yet started."""
    config = Mqtt.model_validate({"host": "127.0.0.1", "port": port, **mqtt})
    return Link(config, TOPICS, groups=["gym"], on_command=inbox, on_state=states)


def online(port: int) -> None:
    """Wait until the broker has the link's first word, which follows its subscription on the same connection.

    What the link is told of the connection comes before: the broker may read a command from elsewhere first.
    """
    with Listener(port, TOPICS.availability) as listener:
        listener.wait(lambda seen: seen.payload == ONLINE)


class Sender:
    """Publishes commands with MQTT 5 properties."""

    def __init__(self, port: int) -> None:
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def __enter__(self) -> "Sender":
        return self

    def __exit__(self, *_: object) -> None:
        hang_up(self._client)

    def send(self, topic: str, payloads: list[bytes], *, retain: bool = False, **properties: Any) -> None:
        """Publish with QoS 1 and wait until the broker has them all."""
        made = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        for name, value in properties.items():
            setattr(made, name, value)
        for sent in [self._client.publish(topic, payload, 1, retain, made) for payload in payloads]:
            sent.wait_for_publish(60)
            assert sent.is_published()


def test_a_command_comes_with_its_properties(broker: Broker, states: States) -> None:
    """Topic, payload and the three properties are handed over, for the device and for its groups."""
    inbox = Inbox()
    with listening(broker.port, inbox, states), Sender(broker.port) as sender:
        states.wait(True)
        online(broker.port)
        properties: dict[str, Any] = {"ResponseTopic": REPLY, "CorrelationData": b"\x00\xff"}
        sender.send(TOPICS.command("pause"), [b"{}"], MessageExpiryInterval=60, **properties)
        sender.send(group_command("gym", "resume"), [b""])
        own, group = inbox.wait(2)
    assert (own.topic, own.payload, own.retained) == (TOPICS.command("pause"), b"{}", False)
    assert (own.response_topic, own.correlation) == (REPLY, b"\x00\xff")
    assert own.expiry_s in {59, 60}
    assert (group.topic, group.payload) == (group_command("gym", "resume"), b"")
    assert (group.response_topic, group.correlation, group.expiry_s) == (None, None, None)


def test_commands_to_others_do_not_come(broker: Broker, states: States) -> None:
    """What is for another device, another group, or no command is not even sent to us."""
    inbox = Inbox()
    with listening(broker.port, inbox, states):
        states.wait(True)
        online(broker.port)
        for topic in ("edgepose/edge-2/command/pause", group_command("pool", "pause"), TOPICS.reply("me")):
            publish(broker.port, topic, b"")
        publish(broker.port, TOPICS.command("pause"), b"")
        assert [seen.topic for seen in inbox.wait()] == [TOPICS.command("pause")]


def test_a_retained_command_is_seen_as_retained(broker: Broker, states: States) -> None:
    """The flag is handed over of what waited at the broker, and of what is published retained while we listen."""
    publish(broker.port, TOPICS.command("pause"), b"old", retain=True)
    inbox = Inbox()
    with listening(broker.port, inbox, states):
        inbox.wait()
        publish(broker.port, TOPICS.command("resume"), b"live", retain=True)
        assert [(seen.payload, seen.retained) for seen in inbox.wait(2)] == [(b"old", True), (b"live", True)]


def test_whoever_sees_us_online_can_command_us() -> None:
    """The subscription goes out before `online`; a link without a callback subscribes to nothing."""
    for inbox in (Inbox(), None):
        with socket.create_server(("127.0.0.1", 0)) as server:
            mqtt = Mqtt(host="127.0.0.1", port=server.getsockname()[1])
            with Link(mqtt, TOPICS, on_command=inbox):
                taken, _address = server.accept()
                with taken:
                    taken.recv(4096)
                    taken.sendall(b"\x20\x03\x00\x00\x00")
                    received = b""
                    while b"online" not in received:
                        received += taken.recv(4096)
                    assert (TOPICS.command("+").encode() in received.partition(b"online")[0]) == (inbox is not None)


def test_a_reply_carries_its_correlation(broker: Broker, states: States) -> None:
    """A reply goes to its address with QoS 1, not retained, with the correlation data if there are any."""
    with Listener(broker.port, REPLY) as listener, listening(broker.port, Inbox(), states) as link:
        states.wait(True)
        link.reply(Address(REPLY, b"\x00\xff"), b"one")
        link.reply(Address(REPLY), b"two")
        one, two = listener.wait_for(REPLY, b"one"), listener.wait_for(REPLY, b"two")
    assert (one.qos, one.retain) == (1, False)
    assert getattr(one.properties, "CorrelationData", None) == b"\x00\xff"
    assert getattr(two.properties, "CorrelationData", None) is None


def test_replies_survive_the_broker(broker: Broker, states: States) -> None:
    """Replies made while the broker is away come when it is back, in their places among the events."""
    door = free_port()
    with listening(door, Inbox(), states) as link:
        with Proxy(broker.port, port=door):
            states.wait(True)
            broker.kill()
            states.wait(True, False)
        link.event(b"first")
        link.reply(Address(REPLY, b"c"), b"second")
        link.event(b"third")
        broker.start()
        with Listener(broker.port) as listener, Proxy(broker.port, port=door):
            listener.wait_for(TOPICS.event, b"third")
            letters = [seen.payload for seen in listener.messages if seen.topic in {TOPICS.event, REPLY}]
            assert letters == [b"first", b"second", b"third"]


def test_a_flood_is_taken_and_drowns_nothing(tmp_path: Path, states: States) -> None:
    """Of ten thousand commands at once each is handed over, in order, and keypoints, events and keep-alive go on."""
    number = iter(range(1, FLOOD + 1))

    def half_way(_: Incoming) -> None:
        if next(number) == FLOOD // 2:
            link.keypoints(b"amid")
            link.event(b"amid")

    inbox = Inbox(half_way)
    with (
        Broker(tmp_path, ["allow_anonymous true", "max_queued_messages 0"]) as broker,
        Listener(broker.port, f"edgepose/{TOPICS.device_id}/+") as listener,
        listening(broker.port, inbox, states, keepalive_s=2) as link,
        Sender(broker.port) as sender,
    ):
        states.wait(True)
        online(broker.port)
        wanted = [b"%d" % each for each in range(FLOOD)]
        sender.send(TOPICS.command("pause"), wanted)
        assert [seen.payload for seen in inbox.wait(FLOOD)] == wanted
        listener.wait_for(TOPICS.keypoints, b"amid")
        listener.wait_for(TOPICS.event, b"amid")
        assert states.seen == [True]


def test_a_callback_that_raises_costs_its_command_alone(broker: Broker, states: States, logs: Logs) -> None:
    """The fault is logged with its topic and traceback; the connection stays and the next command comes."""

    def fail_once(incoming: Incoming) -> None:
        if incoming.payload == b"bad":
            raise RuntimeError("a defect")

    inbox = Inbox(fail_once)
    with listening(broker.port, inbox, states) as link:
        states.wait(True)
        online(broker.port)
        publish(broker.port, TOPICS.command("pause"), b"bad")
        publish(broker.port, TOPICS.command("pause"), b"good")
        inbox.wait(2)
        assert link.stats().reconnects == 0
    assert states.seen == [True, False]
    (crash,) = logs.of("command.crashed")
    assert (crash["topic"], bool(crash["exc_info"])) == (TOPICS.command("pause"), True)


def test_a_large_payload_is_cut(broker: Broker, states: States) -> None:
    """No more is kept of a payload than shows that it is too large; of megabytes the broker spares us all."""
    inbox = Inbox()
    with listening(broker.port, inbox, states):
        states.wait(True)
        online(broker.port)
        publish(broker.port, TOPICS.command("pause"), b"m" * (2 << 20))
        publish(broker.port, TOPICS.command("pause"), b"k" * 100_000)
        publish(broker.port, TOPICS.command("pause"), b"x" * COMMAND_BYTES_MAX)
        assert [len(seen.payload) for seen in inbox.wait(2)] == [COMMAND_BYTES_MAX + 1, COMMAND_BYTES_MAX]
        assert states.seen == [True]


def test_a_cleared_topic_is_gone(broker: Broker, states: States) -> None:
    """An empty announcement removes what the broker retains, also what was retained in an earlier life of ours."""
    job = TOPICS.job("7")
    publish(broker.port, job, b"of yesterday", retain=True)
    with Listener(broker.port) as listener, listening(broker.port, Inbox(), states) as link:
        listener.wait_for(job, b"of yesterday")
        link.announce(job, b"")
        assert listener.wait_for(job, b"").retain
        with Listener(broker.port) as late:
            late.wait_for(TOPICS.availability, b"online")
            assert late.payloads(job) == []


def test_a_subscription_that_is_refused_is_told_once(tmp_path: Path, logs: Logs) -> None:
    """A broker that does not let us read our commands is named in the log with the cure, once."""
    if shutil.which("mosquitto") is None or not GATE.exists():
        pytest.skip("mosquitto's plugin for access control is not installed")
    rules = tmp_path / "rules.json"
    nothing_read = {"publishClientSend": True, "publishClientReceive": True, "subscribe": False, "unsubscribe": True}
    rules.write_text(json.dumps({"defaultACLAccess": nothing_read}))
    rules.chmod(0o600)
    lines = ["allow_anonymous true", f"plugin {GATE}", f"plugin_opt_config_file {rules}"]
    with Broker(tmp_path, lines) as broker, listening(broker.port, Inbox()):
        logs.wait("broker.denied", lambda entry: entry["topic"] == group_command("gym", "+"))
        broker.kill()
        broker.start()
        logs.wait("broker.connected", lambda entry: entry["reconnects"] == 1)
    told = logs.of("broker.denied")
    assert [entry["topic"] for entry in told] == [TOPICS.command("+"), group_command("gym", "+")]
    assert "allow this user to read" in told[0]["cure"]


def test_plain_tools_are_enough(broker: Broker, states: States) -> None:
    """A request and its reply with mosquitto's own tools: by properties of MQTT 5, and by the body without them."""
    if shutil.which("mosquitto_rr") is None:
        pytest.skip("mosquitto_rr is not installed")

    def answer(incoming: Incoming) -> None:
        command = decode(incoming, TOPICS)
        link.reply(command.reply_to, f"{command.name} {command.id}".encode())

    command = ["-h", broker.host, "-p", str(broker.port), "-t", TOPICS.command("pause")]
    with Listener(broker.port, REPLY) as listener, listening(broker.port, Inbox(answer), states) as link:
        states.wait(True)
        online(broker.port)
        request = ["mosquitto_rr", *command, "-e", REPLY, "-W", "20", "-D", "publish", "correlation-data", "7"]
        done = subprocess.run([*request, "-m", "{}"], capture_output=True, text=True, check=True)
        assert done.stdout == "pause 7\n"
        body = json.dumps({"id": "8", "reply_to": REPLY})
        subprocess.run(["mosquitto_pub", "-V", "mqttv311", *command, "-m", body], check=True)
        listener.wait_for(REPLY, b"pause 8")
