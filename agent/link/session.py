"""One connection to the broker. The only file of the agent that imports paho."""

import os
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from paho.mqtt.client import Client, MQTTMessage, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.config.tree import Mqtt
from agent.link.outbox import Letter, News
from agent.wire import broker, certificate
from agent.wire.broker import BrokerError
from agent.wire.commands import COMMAND_BYTES_MAX, Incoming
from agent.wire.limits import Limits, publish_bytes, subscribe_bytes
from agent.wire.messages import MAX_MESSAGE_BYTES
from agent.wire.websocket import send_whole_frames

CONNECT_TIMEOUT_S: Final = 5.0
UNSENT_BYTES_MAX: Final = 16 * 1024
"""What may wait in the kernel: its default of megabytes would turn a slow link into seconds of old keypoints."""
IN_FLIGHT_MAX: Final = 20
"""Paho's own bound; mosquitto's too."""
MAY_NOT_WRITE: Final = "allow this user to write the topic in the broker's access list"
TOO_LONG: Final = "the broker takes no packet that holds it"
MAY_NOT_READ: Final = "allow this user to read the topic in the broker's access list; until then no command arrives"


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes when the connection ends without a goodbye."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = True


def acknowledged(sent: MQTTMessageInfo) -> bool:
    """Tell whether the broker has confirmed it; false too for a message that met a dead connection."""
    return sent.rc <= 0 and sent.is_published()


class Session:
    """One connection, from CONNECT to its end.

    Every call of paho but the connecting itself happens under ``lock``: paho writes to the socket in whatever thread
    publishes, and two threads writing at once could mix two packets. What comes in on the ``filters`` waits in
    ``arrived`` for the thread that turns, because paho's callbacks run under that lock, which the pipeline's hot thread
    takes.
    """

    def __init__(
        self,
        mqtt: Mqtt,
        client_id: str,
        lock: threading.Lock,
        wake: socket.socket,
        filters: Sequence[str],
        *,
        names: Sequence[str] = (),
        will: Will | None = None,
    ) -> None:
        """``names`` stand for the ``+`` of a filter where the broker takes no wildcards."""
        self.client = Client(
            CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5, transport=mqtt.transport
        )
        self.client.ws_set_options(mqtt.websocket_path)
        self.client.connect_timeout = CONNECT_TIMEOUT_S
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.client.on_subscribe = self._on_subscribe
        self.client.on_message = self._on_message
        if will is not None:
            self.client.will_set(will.topic, will.payload, qos=will.qos, retain=will.retain)
        self.limits = self.announced_limits = Limits()
        """What is kept to, and what the broker announced, once it has answered."""
        self.announced: dict[str, tuple[News, MQTTMessageInfo]] = {}
        self.letters: deque[tuple[Letter, MQTTMessageInfo]] = deque()
        self.arrived: deque[Incoming] = deque()
        self.denied: list[tuple[str, str]] = []
        """Topics the broker does not allow, each with the cure."""
        self.refused: list[Letter] = []
        """Letters that the broker found too large."""
        self.granted = 0
        """Filters the broker has agreed to."""
        self.end: BrokerError | None = None
        self._answer: int | None = None
        self._mqtt = mqtt
        self._context: ssl.SSLContext | None = None
        self._filters = filters
        self._names = names
        self._asked: dict[int, str] = {}
        self._keypoints_bytes = 0
        self._lock = lock
        self._wake = wake
        self._poll = select.poll()
        self._poll.register(wake, select.POLLIN)
        self._identify()

    def _identify(self) -> None:
        mqtt, tls = self._mqtt, self._mqtt.tls
        if tls.enabled:
            self._context = broker.tls_context(tls.ca_file, tls.cert_file, tls.key_file)
            self.client.tls_set_context(self._context)
        if mqtt.username is not None:
            password = mqtt.password.get_secret_value() if mqtt.password else None
            if mqtt.password_file is not None:
                password = broker.read_password(mqtt.password_file)
            self.client.username_pw_set(mqtt.username, password)

    def open(self, stop: threading.Event) -> None:
        """Connect, wait for the broker's answer, subscribe. Raises :class:`BrokerError`."""
        mqtt = self._mqtt
        # A larger one the broker keeps to itself: paho would have it whole in memory before we could refuse it.
        limits = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        limits.MaximumPacketSize = MAX_MESSAGE_BYTES
        try:
            self.client.connect(mqtt.host, mqtt.port, mqtt.keepalive_s, clean_start=True, properties=limits)
        except (OSError, UnicodeError) as error:
            words = certificate.told(error, mqtt.tls.cert_file) if isinstance(error, ssl.SSLError) else None
            raise (words or broker.unreachable(error, mqtt.host)) from error
        if (connected := self.client.socket()) is not None:
            if mqtt.transport == "websockets":
                send_whole_frames(connected)
            # What paho holds may be wrapped: the options are those of the connection, not of one handle.
            with socket.socket(fileno=os.dup(connected.fileno())) as handle:
                handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX)
        deadline = time.monotonic() + CONNECT_TIMEOUT_S
        while self._answer is None and self.alive and not stop.is_set():
            if time.monotonic() > deadline:
                raise broker.silent(CONNECT_TIMEOUT_S)
            self.turn(0.1)
        if self._answer:
            raise broker.refused(self._answer)
        if self._answer is None:
            if self._context is None or stop.is_set():
                raise broker.closed_unanswered()
            words = certificate.rejection(mqtt.host, mqtt.port, self._context, mqtt.tls.cert_file)
            raise words or broker.closed_unanswered()
        # Before anything is published: whoever sees us online can command us.
        with self._lock:
            self._subscribe()

    def _subscribe(self) -> None:
        names = ("+",) if self.limits.wildcards else self._names
        wanted = [each.replace("+", name) for each in self._filters for name in names] if names else self._filters
        for each in wanted:
            if not self.limits.fits(subscribe_bytes(each)):
                self.denied.append((each, f"shorten it, or raise the broker's limit: {TOO_LONG}"))
                continue
            options = SubscribeOptions(qos=1, retainAsPublished=True)
            _, number = self.client.subscribe([(each, options)])
            if number is not None:
                self._asked[number] = each

    @property
    def alive(self) -> bool:
        """Paho has not given the connection up."""
        return self.client.socket() is not None

    @property
    def settled(self) -> bool:
        """Everything has been acknowledged."""
        return not self.announced and not self.letters

    @property
    def room(self) -> bool:
        """Whether one more message may be under way."""
        most = min(self.limits.in_flight, IN_FLIGHT_MAX) if self.limits.qos else IN_FLIGHT_MAX
        return len(self.announced) + len(self.letters) < most

    @property
    def suspect_bytes(self) -> int:
        """Size of the largest packet that the broker may have ended the connection for; 0 without any."""
        news = [each.packet_bytes for each, _ in self.announced.values()]
        letters = [each.packet_bytes for each, _ in self.letters]
        return max([self._keypoints_bytes, *news, *letters])

    def settle(self) -> list[str]:
        """Forget what has been acknowledged; return the announced topics of it."""
        said = [topic for topic, (_, sent) in self.announced.items() if acknowledged(sent)]
        for topic in said:
            del self.announced[topic]
        while self.letters and acknowledged(self.letters[0][1]):
            self.letters.popleft()
        return said

    def announce(self, news: News) -> None:
        """Publish retained with QoS 1, as far as the broker allows."""
        properties = None
        if news.expiry_s is not None:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.MessageExpiryInterval = news.expiry_s
        sent = self.client.publish(
            news.topic, news.payload, min(1, self.limits.qos), retain=self.limits.retains, properties=properties
        )
        self.announced[news.topic] = (news, sent)

    def post(self, letter: Letter) -> None:
        """Publish with QoS 1, as far as the broker allows, not retained."""
        properties = None
        if letter.correlation is not None:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.CorrelationData = letter.correlation
        sent = self.client.publish(letter.topic, letter.payload, min(1, self.limits.qos), properties=properties)
        self.letters.append((letter, sent))

    def keypoints(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 0, not retained."""
        self._keypoints_bytes = max(self._keypoints_bytes, publish_bytes(topic, payload, qos=0))
        self.client.publish(topic, payload)

    def turn(self, timeout_s: float) -> None:
        """Wait for the socket or a wake-up, then let paho read, write and keep the connection alive."""
        with self._lock:
            if (connected := self.client.socket()) is None:
                return
            # Bytes that TLS has already decrypted do not show in poll().
            pending = hasattr(connected, "pending") and connected.pending() > 0
            writing = select.POLLOUT if self.client.want_write() else 0
            number = connected.fileno()
            self._poll.register(number, select.POLLIN | writing)
        ready = dict(self._poll.poll(0 if pending else timeout_s * 1000))
        if self._wake.fileno() in ready:
            with suppress(BlockingIOError):
                self._wake.recv(4096)
        with self._lock:
            if pending or ready.get(number, 0) & ~select.POLLOUT:
                self._read()
            if ready.get(number, 0) & select.POLLOUT:
                self.client.loop_write()
            self.client.loop_misc()

    def _read(self) -> None:
        # Acknowledgements of QoS 1 arrive here. A callback that stays would be called for every QoS 0 message as well,
        # and what paho builds for that call costs a third of a publication.
        self.client.on_publish = self._on_publish
        self.client.loop_read()
        self.client.on_publish = None

    def close(self, *, graceful: bool) -> None:
        """Leave. Without grace the broker publishes the last will for us."""
        if graceful:
            self.client.disconnect()
        if (connected := self.client.socket()) is not None:
            connected.close()

    def _on_connect(
        self, _client: Client, _data: object, _flags: object, reason: ReasonCode, properties: Properties | None
    ) -> None:
        said: Mapping[str, int] = vars(properties) if properties is not None else {}
        self.limits = self.announced_limits = Limits.announced(said.get)
        self._answer = reason.value if reason.is_failure else 0

    def _on_disconnect(self, _client: Client, _data: object, _flags: object, reason: ReasonCode, *_: object) -> None:
        self.end = broker.refused(reason.value or broker.BROKEN)

    def _on_publish(self, _client: Client, _data: object, mid: int, reason: ReasonCode, *_: object) -> None:
        if not reason.is_failure:
            return
        if reason.value == broker.TOO_LARGE:
            self.refused += [letter for letter, sent in self.letters if sent.mid == mid]
        error = broker.refused(reason.value)
        cure = MAY_NOT_WRITE if reason.value == broker.NOT_AUTHORISED else f"{error.cause}: {error.cure}"
        waiting = [(news.topic, sent) for news, sent in self.announced.values()]
        waiting += [(letter.topic, sent) for letter, sent in self.letters]
        self.denied += [(topic, cure) for topic, sent in waiting if sent.mid == mid]

    def _on_subscribe(
        self, _client: Client, _data: object, mid: int, reasons: Sequence[ReasonCode], *_: object
    ) -> None:
        asked = self._asked.pop(mid, None)
        for reason in reasons:
            if not reason.is_failure:
                self.granted += 1
            elif asked is not None:
                self.denied.append((asked, MAY_NOT_READ))

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        properties = message.properties
        with suppress(UnicodeDecodeError):  # a topic that is not UTF-8 is no command's
            self.arrived.append(
                Incoming(
                    topic=message.topic,
                    payload=bytes(message.payload[: COMMAND_BYTES_MAX + 1]),
                    retained=message.retain,
                    received_at=datetime.now(UTC),
                    response_topic=getattr(properties, "ResponseTopic", None),
                    correlation=getattr(properties, "CorrelationData", None),
                    expiry_s=getattr(properties, "MessageExpiryInterval", None),
                )
            )
