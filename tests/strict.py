"""A broker that keeps to every limit of MQTT 5 a CONNACK can announce, and drops whoever does not.

It speaks what the agent, the controller and paho speak of MQTT 5 with QoS 0 and 1: a session lasts as long as its
connection. Acknowledgements wait for a moment, so that who sends more than is allowed at once is caught. Who gives no
sign of life for one and a half of the keep-alive time is dropped too.
"""

import contextlib
import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Self

from agent.wire.limits import Limits

TICK_S: Final = 0.002
"""So long an acknowledgement waits, at least."""
CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, PINGRESP, DISCONNECT = 1, 2, 3, 4, 8, 9, 12, 13, 14
TEXTS: Final = frozenset({3, 8, 18, 21, 26, 28, 31})
BINARY: Final = frozenset({9, 22})
BYTES: Final = {
    1: 1,
    23: 1,
    25: 1,
    36: 1,
    37: 1,
    40: 1,
    41: 1,
    42: 1,
    19: 2,
    33: 2,
    34: 2,
    35: 2,
    2: 4,
    17: 4,
    24: 4,
    39: 4,
}
MALFORMED, GONE_SILENT, TAKEN_OVER, BAD_FILTER, TOO_MANY, BAD_ALIAS, TOO_LARGE, NO_RETAIN, NO_QOS, NO_WILDCARDS = (
    0x81,
    0x8D,
    0x8E,
    0x8F,
    0x93,
    0x94,
    0x95,
    0x9A,
    0x9B,
    0xA2,
)


class OffenceError(Exception):
    """A client did what the broker had said it may not."""

    def __init__(self, code: int) -> None:
        super().__init__(f"{code:#04x}")
        self.code = code


@dataclass(slots=True)
class Message:
    """What is passed on."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    properties: bytes = b""


@dataclass(slots=True)
class Guest:
    """One connection."""

    held: socket.socket
    name: str = ""
    came: bytearray = field(default_factory=bytearray)
    leaves: bytearray = field(default_factory=bytearray)
    filters: dict[str, tuple[int, bool]] = field(default_factory=dict)
    will: Message | None = None
    unacknowledged: deque[int] = field(default_factory=deque)
    packet_bytes: int = 2**28 + 4
    """What it takes."""
    number: int = 0
    keepalive_s: int = 0
    heard_s: float = field(default_factory=time.monotonic)
    said: int = 0
    """Messages it has published."""
    gone: bool = False


class StrictBroker:
    """Listens on loopback while entered. ``silent`` keeps its limits to itself and enforces them all the same.

    A ``touchy`` one has the fault of mosquitto 2.0.21: it drops whoever has exactly the keep-alive time of its limits
    when he publishes, and announces that time to nobody who asks for it or for less.
    """

    def __init__(self, limits: Limits, *, silent: bool = False, touchy: bool = False, port: int = 0) -> None:
        self.limits = limits
        self.asked_s: list[tuple[str, int]] = []
        """Keep-alive times, each with the client that asked for it."""
        self.signs = threading.Semaphore(0)
        """Released for each PINGREQ."""
        self._touchy = touchy
        self.offences: list[int] = []
        """Reason codes of those it has dropped, in order."""
        self.connects: list[str] = []
        self.largest = 0
        """Of the packets it took."""
        self.most = 0
        """Messages of QoS 1 it has had unacknowledged from one client."""
        self._silent = silent
        self._server = socket.create_server(("127.0.0.1", port))
        self.host = "127.0.0.1"
        self.port: int = self._server.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._guests: list[Guest] = []
        self._retained: dict[str, Message] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="strict broker", daemon=True)

    def __enter__(self) -> Self:
        self._server.setblocking(False)
        self._selector.register(self._server, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        for guest in self._guests:
            guest.held.close()
        self._server.close()
        self._selector.close()

    def drop(self, name: str) -> None:
        """Cut a client's connection without a word, as a network does."""
        for guest in list(self._guests):
            if guest.name == name:
                with contextlib.suppress(OSError):
                    guest.held.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        while not self._stop.is_set():
            busy = any(guest.unacknowledged or guest.leaves for guest in self._guests)
            ready = self._selector.select(TICK_S if busy else 0.05)
            if busy:
                self._stop.wait(TICK_S)
            for key, _ in ready:
                if key.data is None:
                    self._accept()
                else:
                    self._hear(key.data)
            for guest in list(self._guests):
                self._listen_for(guest)
                while guest.unacknowledged:
                    guest.leaves += packet(PUBACK, struct.pack("!H", guest.unacknowledged.popleft()))
                self._flush(guest)

    def _listen_for(self, guest: Guest) -> None:
        if guest.keepalive_s and time.monotonic() - guest.heard_s > 1.5 * guest.keepalive_s:
            self.offences.append(GONE_SILENT)
            self._send_away(guest, GONE_SILENT)

    def _accept(self) -> None:
        held, _ = self._server.accept()
        held.setblocking(False)
        held.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        guest = Guest(held)
        self._guests.append(guest)
        self._selector.register(held, selectors.EVENT_READ, guest)

    def _hear(self, guest: Guest) -> None:
        try:
            data = guest.held.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end(guest)
            return
        guest.came += data
        guest.heard_s = time.monotonic()
        try:
            for kind, flags, body, size in packets(guest.came):
                self._take(guest, kind, flags, body, size)
        except OffenceError as offence:
            self.offences.append(offence.code)
            self._send_away(guest, offence.code)

    def _send_away(self, guest: Guest, code: int) -> None:
        if guest.name:
            guest.leaves += packet(DISCONNECT, bytes([code, 0]))
        else:
            guest.leaves += packet(CONNACK, bytes([0, code, 0]))
        self._flush(guest)
        self._end(guest)

    def _end(self, guest: Guest, *, graceful: bool = False) -> None:
        if guest.gone:
            return
        guest.gone = True
        self._guests.remove(guest)
        self._selector.unregister(guest.held)
        guest.held.close()
        if guest.will is not None and not graceful:
            self._publish(guest.will)

    def _flush(self, guest: Guest) -> None:
        if guest.gone or not guest.leaves:
            return
        try:
            sent = guest.held.send(guest.leaves)
        except BlockingIOError:
            return
        except OSError:
            self._end(guest)
            return
        del guest.leaves[:sent]

    def _take(self, guest: Guest, kind: int, flags: int, body: bytes, size: int) -> None:
        if kind != CONNECT and size > self.limits.packet_bytes:
            raise OffenceError(TOO_LARGE)
        self.largest = max(self.largest, size if kind == PUBLISH else 0)
        match kind:
            case 1:
                self._connect(guest, body)
            case 3:
                self._published(guest, flags, body)
            case 8:
                self._subscribe(guest, body)
            case 12:
                guest.leaves += packet(PINGRESP, b"")
                self.signs.release()
            case 14:
                self._end(guest, graceful=not body or body[0] == 0)
            case 4:
                pass
            case _:
                raise OffenceError(MALFORMED)

    def _connect(self, guest: Guest, body: bytes) -> None:
        name, at = text(body, 0)
        flags = body[at + 1]
        assert (name, body[at]) == ("MQTT", 5)
        (asked_s,) = struct.unpack_from("!H", body, at + 2)
        said, at = properties(body, at + 4)
        guest.packet_bytes = said.get(39, guest.packet_bytes)
        client, at = text(body, at)
        assigned = f"guest-{len(self.connects)}" if not client else ""
        client = client or assigned
        if flags & 4:
            _, at = properties(body, at)
            topic, at = text(body, at)
            (length,) = struct.unpack_from("!H", body, at)
            guest.will = Message(topic, body[at + 2 : at + 2 + length], flags >> 3 & 3, bool(flags & 0x20))
            will, guest.will = guest.will, None
            if will.retain and not self.limits.retains:
                raise OffenceError(NO_RETAIN)
            if will.qos > self.limits.qos:
                raise OffenceError(NO_QOS)
            guest.will = will
        for other in [each for each in self._guests if each is not guest and each.name == client]:
            self._send_away(other, TAKEN_OVER)
        guest.name = client
        self.connects.append(client)
        self.asked_s.append((client, asked_s))
        wanted_s = self.limits.keepalive_s
        guest.keepalive_s = asked_s if wanted_s is None or (self._touchy and asked_s <= wanted_s) else wanted_s
        guest.leaves += packet(CONNACK, bytes([0, 0]) + self._announcement(assigned, asked_s, guest.keepalive_s))

    def _announcement(self, assigned: str, asked_s: int, keepalive_s: int) -> bytes:
        limits, said = self.limits, b"\x12" + encoded(assigned) if assigned else b""
        if not self._silent:
            said += b"\x27" + struct.pack("!I", limits.packet_bytes) if limits.packet_bytes < 2**28 else b""
            said += b"\x21" + struct.pack("!H", limits.in_flight)
            said += b"" if limits.qos == 2 else bytes([0x24, limits.qos])
            said += bytes([0x25, limits.retains, 0x28, limits.wildcards, 0x29, 0, 0x2A, 0])
            said += b"\x22" + struct.pack("!H", limits.topic_aliases)
        if keepalive_s != asked_s:
            said += b"\x13" + struct.pack("!H", keepalive_s)
        return varint(len(said)) + said

    def _published(self, guest: Guest, flags: int, body: bytes) -> None:
        qos, retain = flags >> 1 & 3, bool(flags & 1)
        if qos > self.limits.qos:
            raise OffenceError(NO_QOS)
        if retain and not self.limits.retains:
            raise OffenceError(NO_RETAIN)
        guest.said += 1
        if self._touchy and guest.keepalive_s == self.limits.keepalive_s and guest.said > 1:
            with contextlib.suppress(OSError):  # it may have gone by itself
                guest.held.shutdown(socket.SHUT_RDWR)
            return
        topic, at = text(body, 0)
        if qos:
            guest.unacknowledged += struct.unpack_from("!H", body, at)
            at += 2
            self.most = max(self.most, len(guest.unacknowledged))
            if len(guest.unacknowledged) > self.limits.in_flight:
                raise OffenceError(TOO_MANY)
        said, end = properties(body, at)
        if 35 in said:
            raise OffenceError(BAD_ALIAS)
        if set(topic) & set("+#\0") or not topic:
            raise OffenceError(0x90)
        length, start = read_varint(body, at)
        self._publish(Message(topic, body[end:], qos, retain, body[start : start + length]))

    def _publish(self, message: Message) -> None:
        if message.retain:
            if message.payload:
                self._retained[message.topic] = message
            else:
                self._retained.pop(message.topic, None)
        for guest in list(self._guests):
            for wanted, (qos, as_published) in guest.filters.items():
                if matches(wanted, message.topic):
                    self._pass_on(guest, message, qos, retain=message.retain and as_published)
                    break

    def _pass_on(self, guest: Guest, message: Message, qos: int, *, retain: bool) -> None:
        qos = min(qos, message.qos)
        body = encoded(message.topic)
        if qos:
            guest.number = guest.number % 65_535 + 1
            body += struct.pack("!H", guest.number)
        body += varint(len(message.properties)) + message.properties + message.payload
        whole = packet(PUBLISH, body, qos << 1 | retain)
        if len(whole) <= guest.packet_bytes:
            guest.leaves += whole
            self._flush(guest)

    def _subscribe(self, guest: Guest, body: bytes) -> None:
        _, at = properties(body, 2)
        codes = b""
        while at < len(body):
            wanted, at = text(body, at)
            options = body[at]
            at += 1
            if set(wanted) & set("+#") and not self.limits.wildcards:
                codes += bytes([NO_WILDCARDS])
                continue
            qos = min(options & 3, 1, self.limits.qos)
            codes += bytes([qos])
            guest.filters[wanted] = (qos, bool(options & 8))
            for topic, message in list(self._retained.items()):
                if matches(wanted, topic):
                    self._pass_on(guest, message, qos, retain=True)
        guest.leaves += packet(SUBACK, body[:2] + b"\0" + codes)


def packets(came: bytearray) -> Iterator[tuple[int, int, bytes, int]]:
    """Take whole packets off the front: kind, flags, body, size."""
    while len(came) >= 2:
        try:
            length, at = read_varint(bytes(came[:5]), 1)
        except IndexError:
            return
        if len(came) < at + length:
            return
        head, body = came[0], bytes(came[at : at + length])
        del came[: at + length]
        yield head >> 4, head & 15, body, at + length


def packet(kind: int, body: bytes, flags: int = 0) -> bytes:
    """Put a packet together."""
    return bytes([kind << 4 | flags]) + varint(len(body)) + body


def varint(number: int) -> bytes:
    """A variable byte integer."""
    out = bytearray()
    while True:
        number, digit = divmod(number, 128)
        out.append(digit | (0x80 if number else 0))
        if not number:
            return bytes(out)


def read_varint(body: bytes, at: int) -> tuple[int, int]:
    """A variable byte integer, and where it ends. Raises IndexError where it is not whole."""
    number = shift = 0
    while True:
        digit = body[at]
        at += 1
        number |= (digit & 0x7F) << shift
        shift += 7
        if not digit & 0x80:
            return number, at


def encoded(words: str) -> bytes:
    """A text with its length."""
    raw = words.encode()
    return struct.pack("!H", len(raw)) + raw


def text(body: bytes, at: int) -> tuple[str, int]:
    """A text, and where it ends."""
    (length,) = struct.unpack_from("!H", body, at)
    return body[at + 2 : at + 2 + length].decode(), at + 2 + length


def properties(body: bytes, at: int) -> tuple[dict[int, Any], int]:
    """Properties whose values are numbers, the others without theirs, and where they end."""
    length, at = read_varint(body, at)
    end, found = at + length, dict[int, Any]()
    while at < end:
        name, at = body[at], at + 1
        if name in BYTES:
            found[name] = int.from_bytes(body[at : at + BYTES[name]])
            at += BYTES[name]
        elif name == 38:
            for _ in range(2):
                _, at = text(body, at)
        elif name == 11:
            found[name], at = read_varint(body, at)
        else:
            assert name in TEXTS | BINARY
            (size,) = struct.unpack_from("!H", body, at)
            found[name] = None
            at += 2 + size
    return found, end


def matches(wanted: str, topic: str) -> bool:
    """Whether a filter matches a topic."""
    levels, given = wanted.split("/"), topic.split("/")
    for place, level in enumerate(levels):
        if level == "#":
            return True
        if place >= len(given) or level not in {"+", given[place]}:
            return False
    return len(levels) == len(given)
