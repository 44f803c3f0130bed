"""MQTT 5's properties with tables that are made once: what is read and written stays what it was."""

from typing import Any

import pytest
from paho.mqtt import MQTTException
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.link.session import TABLES, share_tables

PACKED = bytes.fromhex("1d 02 0000003c 08 0003 612f62 09 0002 00ff 26 0001 6b 0001 76")
"""Message expiry 60 s, response topic a/b, correlation data 00ff, user property k = v; the length is checked below."""


def filled() -> Any:
    """Properties of a publication."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.MessageExpiryInterval = 60
    properties.ResponseTopic = "a/b"
    properties.CorrelationData = b"\x00\xff"
    properties.UserProperty = ("k", "v")
    return properties


def test_the_tables_are_made_once() -> None:
    """Two properties look into the same tables as soon as the link is imported."""
    one, other = filled(), filled()
    assert all(vars(one)[name] is vars(other)[name] for name in TABLES)


def test_what_goes_over_the_wire_is_the_same() -> None:
    """Written byte by byte as the standard says, and read back; what was read before is gone, nothing is shared."""
    packed = bytes([len(PACKED) - 1]) + PACKED[1:]
    assert filled().pack() == packed
    read: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    read.ContentType = "left over"
    other = filled()
    read.unpack(packed)
    assert read.json() == other.json()
    assert not hasattr(read, "ContentType")
    read.clear()
    assert read.isEmpty()
    assert other.ResponseTopic == "a/b"


def test_what_the_packet_cannot_have_is_refused_as_before() -> None:
    """The tables still say which packet takes what."""
    properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    with pytest.raises(MQTTException):
        properties.ResponseTopic = "a/b"


def test_a_paho_with_other_tables_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a later version keeps beside them is not lost."""

    def begin(self: Properties, packet_type: int) -> None:
        vars(self).update(packetType=packet_type, types=[], names={}, properties={}, more={})

    monkeypatch.setattr(Properties, "__init__", begin)
    share_tables()
    assert Properties.__init__ is begin
