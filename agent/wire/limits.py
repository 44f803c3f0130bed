"""What a broker announces in its CONNACK that it takes: MQTT 5.0, section 3.2.2.3. Shared by agent and controller."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Self

from agent.wire.broker import NO_QOS, NO_RETAIN, PROTOCOL, TOO_LARGE

REMAINING_MAX: Final = 268_435_455
"""What the length field of a packet can say."""
PACKET_MAX: Final = REMAINING_MAX + 5
PROPERTY_BYTES: Final = 3
"""Of a property that holds bytes or a text: its name and its length."""
EXPIRY_BYTES: Final = 5
TURN_MAX_S: Final = 1.0
SUSPECT_MIN: Final = 1024
"""Mosquitto's `message_size_limit` answers with a reason that the standard does not know in a PUBACK, so that paho ends
the connection for it. That may have other reasons too: what is smaller is not suspected."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a broker takes; the defaults are those of a broker that announces nothing."""

    packet_bytes: int = PACKET_MAX
    """Of a whole packet, header and topic included."""
    in_flight: int = 65_535
    """Messages of QoS 1 that may wait for their acknowledgement at one moment."""
    qos: int = 2
    retains: bool = True
    wildcards: bool = True
    topic_aliases: int = 0
    """None is ever used."""
    keepalive_s: int | None = None
    """What the broker wants instead of what we asked for."""

    @classmethod
    def announced(cls, read: Callable[[str], int | None]) -> Self:
        """Read what CONNACK says; ``read`` gives a property by its name in the standard, without spaces."""

        def said(name: str, otherwise: int) -> int:
            value = read(name)
            return otherwise if value is None else value

        return cls(
            packet_bytes=said("MaximumPacketSize", PACKET_MAX),
            in_flight=said("ReceiveMaximum", 65_535),
            qos=said("MaximumQoS", 2),
            retains=bool(said("RetainAvailable", 1)),
            wildcards=bool(said("WildcardSubscriptionAvailable", 1)),
            topic_aliases=said("TopicAliasMaximum", 0),
            keepalive_s=read("ServerKeepAlive"),
        )

    @property
    def turn_s(self) -> float:
        """How long one may wait for something to happen before looking whether the broker wants a sign of life.

        Paho sends it at the first look after the keep-alive time is over; the broker waits for one and a half of it.
        """
        return min(TURN_MAX_S, self.keepalive_s / 8) if self.keepalive_s else TURN_MAX_S

    def keepalive_to_ask(self, asked_s: int) -> int:
        """Return what to ask for instead of ``asked_s``: where the broker announced less, a little less than that.

        Mosquitto 2.0.21 ends the connection of whoever has exactly the longest time it allows, and says something.
        """
        if not self.keepalive_s or self.keepalive_s > asked_s:
            return asked_s
        return min(asked_s, max(1, self.keepalive_s - 1))

    def within(self, other: Self) -> Self:
        """What both take of what we send."""
        return replace(
            self,
            packet_bytes=min(self.packet_bytes, other.packet_bytes),
            qos=min(self.qos, other.qos),
            retains=self.retains and other.retains,
        )

    def without(self, code: int | None, packet_bytes: int) -> Self:
        """What is left where the broker ended a connection with a reason code; ``packet_bytes`` is the largest packet.

        For a broker that did not announce it: each time the largest that was under way is left out.
        """
        refused = code == TOO_LARGE or (code == PROTOCOL and packet_bytes > SUSPECT_MIN)
        if refused and packet_bytes:
            return replace(self, packet_bytes=min(self.packet_bytes, packet_bytes - 1))
        if code == NO_RETAIN:
            return replace(self, retains=False)
        if code == NO_QOS:
            return replace(self, qos=0)
        return self

    def fits(self, packet_bytes: int) -> bool:
        """Whether a packet of this size may be sent."""
        return packet_bytes <= self.packet_bytes

    def words(self) -> tuple[str, ...]:
        """Say what is less than MQTT 5 gives, for people; empty where nothing is."""
        told = (
            (self.packet_bytes < PACKET_MAX, f"packets up to {self.packet_bytes} bytes"),
            (self.qos < 1, "QoS 0 alone"),
            (not self.retains, "nothing retained"),
            (not self.wildcards, "no wildcards"),
            (self.in_flight < LIMIT_TOLD, f"{self.in_flight} in flight"),
            (self.keepalive_s is not None, f"keep-alive {self.keepalive_s} s"),
        )
        return tuple(words for holds, words in told if holds)


LIMIT_TOLD: Final = 20
"""Messages in flight of which nobody is told: what mosquitto allows."""


def publish_bytes(topic: str, payload: bytes, *, qos: int = 1, correlation: bytes | None = None, more: int = 0) -> int:
    """Size of a PUBLISH packet of MQTT 5 (section 3.3); ``more`` is what other properties take."""
    properties = more + (0 if correlation is None else PROPERTY_BYTES + len(correlation))
    remaining = 2 + len(topic.encode()) + (2 if qos else 0) + _varint(properties) + properties + len(payload)
    return 1 + _varint(remaining) + remaining


def subscribe_bytes(*filters: str) -> int:
    """Size of a SUBSCRIBE packet without properties (section 3.8)."""
    remaining = 2 + 1 + sum(3 + len(wanted.encode()) for wanted in filters)
    return 1 + _varint(remaining) + remaining


def _varint(number: int) -> int:
    """Bytes of a variable byte integer (section 1.5.5)."""
    return max(1, (number.bit_length() + 6) // 7)
