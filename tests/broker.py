"""A real mosquitto on a loopback port of its own, and a listener that says what goes over it."""

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

MOSQUITTO: Final = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
START_TIMEOUT_S: Final = 60.0


def free_port() -> int:
    """Find a loopback port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Broker:
    """Mosquitto without persistence: what it retains dies with it. Entering starts it unless told otherwise."""

    def __init__(
        self, folder: Path, lines: Iterable[str] = ("allow_anonymous true",), *, port: int = 0, start: bool = True
    ) -> None:
        if MOSQUITTO is None:
            pytest.skip("mosquitto is not installed")
        self.port = port or free_port()
        self.host = "127.0.0.1"
        self._config = folder / f"mosquitto-{self.port}.conf"
        # It would leave root for an account that cannot read the test's folder.
        account = ["user root"] if os.geteuid() == 0 else []
        self._config.write_text("\n".join([f"listener {self.port} {self.host}", *account, *lines]) + "\n")
        self._log = folder / f"mosquitto-{self.port}.log"
        self._command: list[str | Path] = [MOSQUITTO, "-c", self._config]
        self._process: subprocess.Popen[bytes] | None = None
        self._start_on_entry = start

    def __enter__(self) -> Self:
        if self._start_on_entry:
            self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Of its process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start and wait until it accepts connections; again after :meth:`kill`, on the same port."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        for _ in range(round(START_TIMEOUT_S / 0.02)):
            with suppress(OSError), socket.create_connection((self.host, self.port), timeout=1):
                return
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(0.02)
                break
        raise AssertionError(f"mosquitto did not start: {self._log.read_text()}")

    def kill(self) -> None:
        """End it with SIGKILL: no goodbye, no retained messages kept."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def stop(self) -> None:
        """End it gently."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None


def hang_up(client: Client) -> None:
    """End a connection of paho's own thread, and the two sockets that woke it.

    Paho leaves those to the collector: a test that comes later fails with "unclosed socket".
    """
    client.disconnect()
    client.loop_stop()
    client._reset_sockets()


class Listener:
    """Subscribes with QoS 1 and keeps every message, with the retain flag it was published with."""

    def __init__(self, port: int, topic: str = "#", *, host: str = "127.0.0.1") -> None:
        self.messages: list[MQTTMessage] = []
        self._news = threading.Condition()
        self._subscribed = threading.Event()
        self._options = (topic, SubscribeOptions(qos=1, retainAsPublished=True))
        self._address = (host, port)
        self.client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self.client.on_connect = lambda client, *_: client.subscribe(*self._options[:1], options=self._options[1])
        self.client.on_subscribe = lambda *_: self._subscribed.set()
        self.client.on_message = self._on_message

    def __enter__(self) -> Self:
        self.client.connect(*self._address)
        self.client.loop_start()
        assert self._subscribed.wait(60), "the listener could not subscribe"
        return self

    def __exit__(self, *_: object) -> None:
        hang_up(self.client)

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        with self._news:
            self.messages.append(message)
            self._news.notify_all()

    def wait(self, wanted: Callable[[MQTTMessage], bool], *, timeout_s: float = 60.0) -> MQTTMessage:
        """Return the first message, past or future, that is wanted."""

        def found() -> MQTTMessage | None:
            return next((message for message in self.messages if wanted(message)), None)

        with self._news:
            self._news.wait_for(lambda: found() is not None, timeout_s)
            message = found()
        assert message is not None, f"not among {[(seen.topic, seen.payload[:80]) for seen in self.messages]}"
        return message

    def wait_count(self, count: int, *, timeout_s: float = 60.0) -> None:
        """Wait until so many messages have come."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.messages) >= count, timeout_s), len(self.messages)

    def wait_for(self, topic: str, payload: bytes, *, timeout_s: float = 60.0) -> MQTTMessage:
        """Return the first message with this topic and payload."""
        return self.wait(lambda seen: seen.topic == topic and seen.payload == payload, timeout_s=timeout_s)

    def payloads(self, topic: str) -> list[bytes]:
        """Return what has been published on a topic, in order."""
        with self._news:
            return [bytes(message.payload) for message in self.messages if message.topic == topic]


def publish(port: int, topic: str, payload: bytes, *, retain: bool = False) -> None:
    """Publish one message with QoS 1 and wait until the broker has it."""
    publish_all(port, {topic: payload}, retain=retain)


def publish_all(port: int, messages: Mapping[str, bytes], *, retain: bool = False) -> None:
    """Publish one message per topic with QoS 1 and wait until the broker has them all."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.connect("127.0.0.1", port)
    client.loop_start()
    for topic, sent in [(topic, client.publish(topic, payload, 1, retain)) for topic, payload in messages.items()]:
        sent.wait_for_publish(60)
        assert sent.is_published(), f"the broker did not take {topic}"
    hang_up(client)
