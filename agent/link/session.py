"""One connection to the broker. The only file of the agent that imports paho.

Commands will come in here: subscribe in :meth:`Session.open`, and hand what arrives to a queue that another thread
empties, because paho's callbacks run under the lock that the pipeline's hot thread takes.
"""

import select
import socket
import ssl
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Final

from paho.mqtt.client import Client, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from agent.config import Mqtt
from agent.wire import broker
from agent.wire.broker import BrokerError

CONNECT_TIMEOUT_S: Final = 5.0
UNSENT_BYTES_MAX: Final = 16 * 1024
"""What may wait in the kernel: its default of megabytes would turn a slow link into seconds of old keypoints."""


def acknowledged(sent: MQTTMessageInfo) -> bool:
    """Tell whether the broker has confirmed it; false too for a message that met a dead connection."""
    return sent.rc <= 0 and sent.is_published()


class Session:
    """One connection, from CONNECT to its end.

    Every call of paho but the connecting itself happens under ``lock``: paho writes to the socket in whatever thread
    publishes, and two threads writing at once could mix two packets.
    """

    def __init__(self, mqtt: Mqtt, client_id: str, lock: threading.Lock, wake: socket.socket) -> None:
        self.client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5)
        self.client.connect_timeout = CONNECT_TIMEOUT_S
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.announced: dict[str, MQTTMessageInfo] = {}
        self.events: deque[tuple[bytes, MQTTMessageInfo]] = deque()
        self.denied: list[str] = []
        self.end: BrokerError | None = None
        self._answer: int | None = None
        self._mqtt = mqtt
        self._lock = lock
        self._wake = wake
        self._poll = select.poll()
        self._poll.register(wake, select.POLLIN)
        self._identify()

    def _identify(self) -> None:
        mqtt, tls = self._mqtt, self._mqtt.tls
        if tls.enabled:
            self.client.tls_set_context(broker.tls_context(tls.ca_file, tls.cert_file, tls.key_file))
        if mqtt.username is not None:
            password = mqtt.password.get_secret_value() if mqtt.password else None
            if mqtt.password_file is not None:
                password = broker.read_password(mqtt.password_file)
            self.client.username_pw_set(mqtt.username, password)

    def open(self, stop: threading.Event) -> None:
        """Connect and wait for the broker's answer. Raises :class:`BrokerError`."""
        mqtt = self._mqtt
        try:
            self.client.connect(mqtt.host, mqtt.port, mqtt.keepalive_s, clean_start=True)
        except (OSError, UnicodeError) as error:
            raise broker.unreachable(error, mqtt.host) from error
        if (connected := self._socket()) is not None:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX)
        deadline = time.monotonic() + CONNECT_TIMEOUT_S
        while self._answer is None and self.alive and not stop.is_set():
            if time.monotonic() > deadline:
                raise broker.silent(CONNECT_TIMEOUT_S)
            self.turn(0.1)
        if self._answer:
            raise broker.refused(self._answer)
        if self._answer is None:
            raise broker.closed_unanswered()

    def _socket(self) -> socket.socket | None:
        held = self.client.socket()
        return held if isinstance(held, socket.socket) else None

    @property
    def alive(self) -> bool:
        """Paho has not given the connection up."""
        return self.client.socket() is not None

    def settled(self) -> bool:
        """Forget what has been acknowledged; true when nothing is left."""
        self.announced = {topic: sent for topic, sent in self.announced.items() if not acknowledged(sent)}
        while self.events and acknowledged(self.events[0][1]):
            self.events.popleft()
        return not self.announced and not self.events

    def turn(self, timeout_s: float) -> None:
        """Wait for the socket or a wake-up, then let paho read, write and keep the connection alive."""
        with self._lock:
            if (connected := self._socket()) is None:
                return
            # Bytes that TLS has already decrypted do not show in poll().
            pending = isinstance(connected, ssl.SSLSocket) and connected.pending() > 0
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
        if (connected := self._socket()) is not None:
            connected.close()

    def _on_connect(self, _client: Client, _data: object, _flags: object, reason: ReasonCode, *_: object) -> None:
        self._answer = reason.value if reason.is_failure else 0

    def _on_disconnect(self, _client: Client, _data: object, _flags: object, reason: ReasonCode, *_: object) -> None:
        self.end = broker.refused(reason.value or 128)

    def _on_publish(self, _client: Client, _data: object, mid: int, reason: ReasonCode, *_: object) -> None:
        if reason.is_failure:
            self.denied.append(next((topic for topic, sent in self.announced.items() if sent.mid == mid), "event"))
