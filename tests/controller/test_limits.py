"""The controller at brokers that take less than MQTT 5 gives, and drop whoever does not keep to it."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.config.tree import Mqtt
from agent.link import Link
from agent.wire.commands import Address, Incoming, Reply, ReplyStatus
from agent.wire.limits import Limits
from agent.wire.topics import Topics
from controller.client import address
from controller.client.connection import Client
from tests import samples
from tests.controller.conftest import run_inside
from tests.strict import StrictBroker

TOPICS = Topics("edge-1")
WILL = {0x9A, 0x9B}
"""How a last will is refused; it is found out by being refused."""


@contextmanager
def agent(port: int) -> Iterator[Link]:
    """What speaks, keeps to the same limits, and answers every command with success."""

    def answer(incoming: Incoming) -> None:
        asked = json.loads(incoming.payload)
        assert incoming.response_topic is not None
        reply = Reply(
            device_id=TOPICS.device_id,
            sent_at=datetime.now(UTC),
            id=asked["id"],
            command=incoming.topic.rpartition("/")[2],
            status=ReplyStatus.SUCCEEDED,
            result={},
            state_version=1,
        )
        link.reply(Address(incoming.response_topic, incoming.correlation), reply.encode())

    def speak() -> None:
        while not ended.wait(0.1):
            link.keypoints(samples.keypoints().encode())
            link.event(samples.event().encode())

    ended, online = threading.Event(), threading.Event()
    link = Link(Mqtt(host="127.0.0.1", port=port), TOPICS, on_command=answer, on_state=lambda _: online.set())
    voice = threading.Thread(target=speak)
    with link:
        link.announce(TOPICS.info, samples.info().encode())
        link.announce(TOPICS.state, samples.state().encode())
        link.announce(TOPICS.metrics, samples.metrics().encode())
        assert online.wait(20)
        voice.start()
        try:
            yield link
        finally:
            ended.set()
            voice.join()


@pytest.mark.parametrize(
    "limits",
    [
        Limits(packet_bytes=2500),
        Limits(in_flight=1),
        Limits(retains=False),
        Limits(qos=0),
        Limits(wildcards=False),
        Limits(keepalive_s=10),
        Limits(qos=0, retains=False, wildcards=False, in_flight=1, packet_bytes=2500, keepalive_s=10),
    ],
    ids=lambda limits: ", ".join(limits.words()),
)
def test_each_limit_is_kept_to(limits: Limits, tmp_path: Path) -> None:
    """Whatever the broker announces, devices are found, commands are answered, recordings written and played."""
    recording = tmp_path / "a.jsonl"
    with StrictBroker(limits) as broker, agent(broker.port):
        broker_at = ("--broker", f"127.0.0.1:{broker.port}")
        for words in (
            ("pause", "edge-1"),
            ("watch", "edge-1", "--count", "2"),
            ("events", "edge-1", "--count", "1"),
            ("record", "edge-1", "--out", str(recording), "--count", "3"),
            *((("list", "--timeout", "2"), ("pause", "*", "--timeout", "2")) if limits.wildcards else ()),
            ("replay", str(recording), "--speed", "0", "--as", "edge-2"),
        ):
            assert run_inside(*words, *broker_at)[0] == 0, words
        if not limits.wildcards:
            code, said = run_inside("list", *broker_at)
            assert (code, "no wildcards" in said) == (5, True), said
        assert set(broker.offences) <= WILL, broker.offences


@pytest.mark.parametrize("packet_bytes", [20, 60, 150])
@pytest.mark.parametrize("silent", [False, True])
def test_what_does_not_fit_is_told(packet_bytes: int, silent: bool, tmp_path: Path) -> None:
    """Where nothing fits, every command ends with words and a code; where the broker kept its limit to itself too."""
    recording = tmp_path / "a.jsonl"
    recording.write_bytes(samples.keypoints().encode() + b"\n")
    with StrictBroker(Limits(packet_bytes=packet_bytes), silent=silent) as broker:
        for words in (("list",), ("pause", "edge-1"), ("replay", str(recording)), ("events", "*", "--seconds", "1")):
            code, said = run_inside(*words, "--broker", f"127.0.0.1:{broker.port}", "--timeout", "2")
            assert "Traceback" not in said
            assert code in {0, 3, 5}, said
            assert said or code == 0
        assert silent or not broker.offences


def test_signs_of_life_come_in_time() -> None:
    """A broker's own keep-alive time is kept to while nothing happens."""
    with (
        StrictBroker(Limits(keepalive_s=3)) as broker,
        Client(address.Address.of(f"127.0.0.1:{broker.port}", {}), timeout_s=10) as client,
    ):
        client.idle(time.monotonic() + 5)
        assert broker.signs.acquire(blocking=False)
        assert not broker.offences
        # It asks for a little less, after which nobody announces anything.
        assert [asked for _, asked in broker.asked_s] == [29, 2]
