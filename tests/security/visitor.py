"""Somebody with a certificate, or without one, who knocks at the broker."""

import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Final, Self

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

WAIT_S: Final = 60.0


class TurnedAwayError(Exception):
    """The broker did not let us in."""


class Visitor:
    """One connection, as a context manager; entering raises :class:`TurnedAwayError` where the broker does not want us.

    Everything runs in the caller's thread: messages come in while it waits for something. ``will`` is topic and payload
    of a last will; ``client_id`` is chosen at random unless given.
    """

    def __init__(
        self,
        port: int,
        tls: ssl.SSLContext | None,
        filters: Sequence[str] = (),
        *,
        will: tuple[str, bytes] | None = None,
        client_id: str = "",
    ) -> None:
        self.messages: list[MQTTMessage] = []
        self._answer: ReasonCode | None = None
        self._subscribed = False
        self._acknowledged: dict[int, bool] = {}
        self._filters = filters
        self._port = port
        self.client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5)
        if tls is not None:
            self.client.tls_set_context(tls)
        if will is not None:
            self.client.will_set(*will, qos=1)
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = self._on_subscribe
        self.client.on_publish = self._on_publish
        self.client.on_message = lambda _client, _data, message: self.messages.append(message)

    def __enter__(self) -> Self:
        try:
            self.client.connect("127.0.0.1", self._port, clean_start=True)
        except OSError as error:
            raise TurnedAwayError(str(error)) from error
        held = self.client.socket()
        if isinstance(held, socket.socket):  # else it was cut already
            held.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._wait(lambda: self._answer is not None or self.gone, "no answer from the broker")
        if self._answer is None or self._answer.is_failure:
            raise TurnedAwayError(f"{self._answer or 'the connection was cut'}")
        if self._filters:
            options = SubscribeOptions(qos=1, retainAsPublished=True)
            self.client.subscribe([(wanted, options) for wanted in self._filters])
            self._wait(lambda: self._subscribed, "it could not subscribe")
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()

    @property
    def gone(self) -> bool:
        """The connection has ended."""
        return self.client.socket() is None

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Publish with QoS 1; whether the broker took it."""
        sent = self.client.publish(topic, payload, 1, retain)
        self._wait(lambda: sent.mid in self._acknowledged, f"the broker did not answer to {topic}")
        return self._acknowledged[sent.mid]

    def wait(self, topic: str, payload: bytes) -> None:
        """Wait for a message."""
        self._wait(lambda: self.heard(topic, payload), f"{topic} {payload!r} did not come")

    def wait_cut(self) -> None:
        """Wait until the broker cuts the connection."""
        self._wait(lambda: self.gone, "the broker keeps the connection")

    def heard(self, topic: str, payload: bytes) -> bool:
        """Whether such a message has come."""
        return any((seen.topic, bytes(seen.payload)) == (topic, payload) for seen in self.messages)

    def vanish(self) -> None:
        """Be gone without a goodbye: the broker publishes the last will."""
        held = self.client.socket()
        assert isinstance(held, ssl.SSLSocket)
        held.close()

    def turn(self) -> None:
        """Let in what has come, or comes in a moment."""
        self.client.loop(0.1)

    def _wait(self, wanted: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + WAIT_S
        while not wanted():
            assert time.monotonic() < deadline, otherwise
            self.turn()

    def _on_connect(self, _client: Client, _data: object, _flags: object, reason: ReasonCode, *_: object) -> None:
        self._answer = reason

    def _on_subscribe(self, *_: object) -> None:
        self._subscribed = True

    def _on_publish(self, _client: Client, _data: object, mid: int, reason: ReasonCode, *_: object) -> None:
        self._acknowledged[mid] = not reason.is_failure
