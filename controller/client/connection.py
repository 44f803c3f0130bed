"""The broker as the controller sees it. The only file of the controller that imports paho.

Replays are published from here, and commands: a request with its reply topic. Who waits for the reply reads messages.
"""

import ssl
import time
import uuid
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from paho.mqtt.client import Client as PahoClient
from paho.mqtt.client import MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.wire import broker, certificate
from agent.wire.broker import BrokerError
from agent.wire.limits import Limits, publish_bytes, subscribe_bytes
from agent.wire.websocket import send_whole_frames
from controller.client.address import Address
from controller.errors import BrokerUnreachableError
from controller.interrupt import end_if_asked

KEEPALIVE_S: Final = 29
"""No round figure, as the longest that brokers allow is: mosquitto 2.0.21 drops whoever has exactly that."""
QUIET_MIN_S: Final = 0.3
QUIET_ROUND_TRIPS: Final = 4
AT_ONCE: Final = 64
"""Messages that are read before anybody looks at them."""
NOBODY: Final = 16
"""The reason code "no matching subscribers" of MQTT 5, which a broker may give and need not."""


@dataclass(frozen=True, slots=True)
class Received:
    """One message. ``retained`` is true for what the broker had kept before we subscribed."""

    topic: str
    payload: bytes
    retained: bool
    correlation: bytes | None = None
    """What a reply repeats of its request."""


class Client:
    """One connection to the broker, as a context manager; entering connects.

    Everything runs in the caller's thread. ``will`` is a topic, and what the broker retains there when we vanish.
    ``name`` is our client id, so that a broker's access list can tie the topics of our replies to us.
    Raises :class:`BrokerUnreachableError` whenever the broker cannot be had.
    """

    def __init__(self, address: Address, *, timeout_s: float, will: tuple[str, bytes] | None = None) -> None:
        self._address = address
        self._timeout_s = timeout_s
        # 23 letters and digits: what every broker must take (MQTT 5.0, section 3.1.3.1).
        self.name = f"controller{uuid.uuid4().hex[:13]}"
        self._paho = PahoClient(
            CallbackAPIVersion.VERSION2,
            self.name,
            protocol=MQTTProtocolVersion.MQTTv5,
            transport="tcp" if address.websocket_path is None else "websockets",
        )
        if address.websocket_path is not None:
            self._paho.ws_set_options(address.websocket_path)
        self._paho.connect_timeout = timeout_s
        self._paho.on_connect = self._on_connect
        self._paho.on_disconnect = self._on_disconnect
        self._paho.on_subscribe = self._on_subscribe
        self._paho.on_message = self._on_message
        self._paho.on_publish = self._on_publish
        self._will = will
        self._context: ssl.SSLContext | None = None
        self._keepalive_s = KEEPALIVE_S
        self._answer: int | None = None
        self._limits = Limits()
        self._ended = 0
        self._granted: list[ReasonCode] | None = None
        self._awaited: int | None = None
        self._acknowledged: ReasonCode | None = None
        self._received: deque[Received] = deque()
        self._quiet_s = QUIET_MIN_S

    def __enter__(self) -> Self:
        try:
            self._identify()
            self._connect_as_allowed()
        except BrokerError as error:
            self.__exit__()
            raise self._unreachable(error) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._paho.disconnect()
        # Paho itself closes those that wake it when it is collected, and the order of that is nobody's.
        self._paho._reset_sockets()

    def subscribe(self, topics: Sequence[str], *, qos: int = 0) -> None:
        """Subscribe and wait until the broker has agreed."""
        began = time.monotonic()
        if not self._limits.wildcards and any(set(topic) & set("+#") for topic in topics):
            raise self._unreachable(broker.refused(broker.NO_WILDCARDS))
        self._fits(subscribe_bytes(*topics))
        self._granted = None
        self._paho.subscribe([(topic, qos) for topic in topics])
        while self._granted is None:
            self._turn_in_time(began + self._timeout_s)
        refusals = [code for code in self._granted if code.is_failure]
        if refusals:
            raise self._unreachable(broker.refused(refusals[0].value))
        self._quiet_s = max(QUIET_MIN_S, QUIET_ROUND_TRIPS * (time.monotonic() - began))

    def unsubscribe(self, topics: Sequence[str]) -> None:
        """Ask the broker for no more of these; what is under way may still come."""
        self._paho.unsubscribe(list(topics))

    def announce(self, topic: str, payload: bytes) -> None:
        """Publish retained with QoS 1 and wait until the broker has it."""
        self._deliver(topic, payload, retain=True)

    @property
    def limits(self) -> Limits:
        """What the broker announced that it takes."""
        return self._limits

    def request(self, topic: str, payload: bytes, *, reply_to: str, correlation: bytes, expiry_s: int) -> bool:
        """Publish with QoS 1 and wait until the broker has it, which drops it when it is not taken in ``expiry_s``.

        False where the broker says that nobody has subscribed to it.
        """
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ResponseTopic = reply_to
        properties.CorrelationData = correlation
        properties.MessageExpiryInterval = expiry_s
        self._deliver(topic, payload, retain=False, properties=properties)
        return self._acknowledged is None or self._acknowledged.value != NOBODY

    def send(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 0; returns when it has left, so that a slow broker slows the caller."""
        deadline = time.monotonic() + self._timeout_s
        self._fits(publish_bytes(topic, payload, qos=0))
        self._paho.publish(topic, payload)
        self._turn(0.0)
        while self._paho.want_write():
            self._turn_in_time(deadline)

    def idle(self, until: float) -> None:
        """Keep the connection alive until a moment on the monotonic clock."""
        while time.monotonic() < until:
            end_if_asked()
            self._turn(until)

    def messages(self, deadline: float) -> Iterator[Received]:
        """Yield messages as they come, until ``deadline`` on the monotonic clock."""
        while True:
            while self._received:
                yield self._received.popleft()
            if time.monotonic() >= deadline:
                return
            end_if_asked()
            self._turn(deadline)

    def retained(self, timeout_s: float) -> Iterator[Received]:
        """Yield the messages until the broker has delivered all it had retained for the last subscription.

        Neither version of MQTT marks that moment, nor orders retained messages against others: a message published to
        ourselves as an end mark overtakes them on brokers that fetch retained messages aside, and needs the right to
        publish. So the end is a quiet time after SUBACK and after each retained message: some round trips long, as
        measured with the subscription, and no longer than ``timeout_s``. However many there are, all are waited for.
        The live traffic of busy agents carries no retain flag and does not prolong it.
        """
        quiet_s = min(self._quiet_s, timeout_s)
        end = time.monotonic() + quiet_s
        while end > time.monotonic() or self._received:
            if not self._received:
                self._turn(end)
                continue
            message = self._received.popleft()
            if message.retained:
                end = time.monotonic() + quiet_s
            yield message

    def _deliver(self, topic: str, payload: bytes, *, retain: bool, properties: Properties | None = None) -> None:
        deadline = time.monotonic() + self._timeout_s
        limits = self._limits
        more = 0 if properties is None else len(properties.pack())  # type: ignore[no-untyped-call]
        self._fits(publish_bytes(topic, payload, more=more))
        self._acknowledged = None
        sent = self._paho.publish(topic, payload, min(1, limits.qos), retain and limits.retains, properties)
        self._awaited = sent.mid
        while not limits.qos and not (sent.rc <= 0 and sent.is_published()):  # nobody acknowledges it
            self._turn_in_time(deadline)
        while limits.qos and self._acknowledged is None:
            self._turn_in_time(deadline)
        if self._acknowledged is not None and self._acknowledged.is_failure:
            raise self._unreachable(broker.refused(self._acknowledged.value))

    def _fits(self, size: int) -> None:
        """Raise where the broker would end the connection for a packet of this size."""
        if not self._limits.fits(size):
            cause = f"a message of {size} bytes is above the broker's limit of {self._limits.packet_bytes}"
            raise self._unreachable(BrokerError(cause, "raise the broker's maximum packet size"))

    def _identify(self) -> None:
        address, paho = self._address, self._paho
        if address.tls:
            self._context = broker.tls_context(address.ca_file, address.cert_file, address.key_file)
            paho.tls_set_context(self._context)
        password = broker.read_password(address.password_file) if address.password_file else address.password
        if address.username is not None or password is not None:
            paho.username_pw_set(address.username, password)

    def _connect_as_allowed(self) -> None:
        """Connect with the last will and the keep-alive time that the broker takes."""
        refused = Limits()
        while True:
            if self._will is not None:
                self._paho.will_set(*self._will, qos=min(1, refused.qos), retain=refused.retains)
            try:
                self._connect()
            except BrokerError as error:
                known, refused = refused, refused.without(error.code, 0)
                if self._will is None or refused == known:
                    raise
                continue
            self._limits = self._limits.within(refused)
            less_s = self._limits.keepalive_to_ask(self._keepalive_s)
            if less_s == self._keepalive_s:
                return
            self._keepalive_s = less_s
            self._paho.disconnect()

    def _connect(self) -> None:
        address, paho = self._address, self._paho
        self._answer = None
        deadline = time.monotonic() + self._timeout_s
        try:
            paho.connect(address.host, address.port, self._keepalive_s, clean_start=True)
        except (OSError, UnicodeError) as error:
            words = certificate.told(error, address.cert_file) if isinstance(error, ssl.SSLError) else None
            raise (words or broker.unreachable(error, address.host)) from error
        if address.websocket_path is not None:
            send_whole_frames(paho.socket())
        while self._answer is None and paho.socket() is not None:
            if (left_s := deadline - time.monotonic()) <= 0:
                raise broker.silent(self._timeout_s)
            paho.loop(left_s)
        if self._answer is None:
            if self._context is None:
                raise broker.closed_unanswered()
            words = certificate.rejection(address.host, address.port, self._context, address.cert_file)
            raise words or broker.closed_unanswered()
        if self._answer:
            raise broker.refused(self._answer)

    def _turn(self, deadline: float) -> None:
        heard = len(self._received)
        # Not for long, for paho to keep the connection alive.
        self._paho.loop(min(self._limits.turn_s, max(0.0, deadline - time.monotonic())))
        # It reads one packet, and asks the system before each: of thousands that wait, take some at once.
        while heard < len(self._received) <= AT_ONCE:
            heard = len(self._received)
            self._paho.loop_read()
        if self._paho.socket() is None:
            raise self._unreachable(broker.refused(self._ended or broker.BROKEN))

    def _turn_in_time(self, deadline: float) -> None:
        self._turn(deadline)
        if time.monotonic() > deadline:
            raise self._unreachable(broker.silent(self._timeout_s))

    def _unreachable(self, error: BrokerError) -> BrokerUnreachableError:
        return BrokerUnreachableError(f"broker {self._address}: {error.cause}", hint=error.cure)

    def _on_connect(
        self, _client: PahoClient, _data: object, _flags: object, reason: ReasonCode, properties: Properties | None
    ) -> None:
        said: Mapping[str, int] = vars(properties) if properties is not None else {}
        self._limits = Limits.announced(said.get)
        self._answer = reason.value if reason.is_failure else 0

    def _on_disconnect(
        self, _client: PahoClient, _data: object, _flags: object, reason: ReasonCode, *_: object
    ) -> None:
        self._ended = reason.value

    def _on_subscribe(
        self, _client: PahoClient, _data: object, _mid: int, reasons: list[ReasonCode], *_: object
    ) -> None:
        self._granted = reasons

    def _on_publish(self, _client: PahoClient, _data: object, mid: int, reason: ReasonCode, *_: object) -> None:
        if mid == self._awaited:
            self._acknowledged = reason

    def _on_message(self, _client: PahoClient, _data: object, message: MQTTMessage) -> None:
        correlation = getattr(message.properties, "CorrelationData", None)
        self._received.append(Received(message.topic, bytes(message.payload), message.retain, correlation))
