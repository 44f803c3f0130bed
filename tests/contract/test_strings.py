"""MQTT's rules for strings hold wherever one is given: prefix, account, host."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire.strings import (
    BYTES_MAX,
    PREFIX_MAX,
    fault_of_host,
    fault_of_password,
    fault_of_prefix,
    fault_of_text,
    place,
    plain_host,
)
from agent.wire.topics import Topics, parse

GOOD = ("edgepose", "a/b", "gym/1st floor".replace(" ", "-"), "体育館", "a.b_c-d", "x" * PREFIX_MAX)
BAD = (
    "edgepose/",
    "/edgepose",
    "a//b",
    "",
    "a/",
    "/",
    "$SYS",
    "a/+",
    "a#",
    "a b",
    "a\tb",
    "a\0b",
    "a\x01b",
    "a\x7fb",
    "a\x85b",
    "a\ufdd0b",
    "a\uffffb",
    "a\U0001ffffb",
    "a\ud800b",
    "a\u2028b",
    "x" * (PREFIX_MAX + 1),
    "x" * 66_000,
)


@pytest.mark.parametrize("prefix", GOOD)
def test_a_prefix_is_taken(prefix: str) -> None:
    """What is a topic of MQTT may stand before ours."""
    assert fault_of_prefix(prefix) is None


@pytest.mark.parametrize("prefix", BAD, ids=lambda prefix: ascii(prefix[:12]))
def test_a_prefix_is_refused_with_a_reason(prefix: str) -> None:
    """What a broker refuses, or ends a connection for, is refused here, in words."""
    assert fault_of_prefix(prefix)


@given(st.text(max_size=200))
def test_a_prefix_that_is_taken_makes_topics(prefix: str) -> None:
    """Below any prefix that is taken, a topic of a device is a name of MQTT, and is read back as it was made."""
    if fault_of_prefix(prefix) is not None:
        return
    topic = Topics("hall", prefix).state
    assert parse(topic, prefix) == ("hall", "state")
    assert all(topic.split("/"))
    assert not set(topic) & set("#+\0")
    assert len(topic.encode()) <= BYTES_MAX


def test_accounts_are_bounded_by_their_length_field() -> None:
    """A name or password has two bytes for its length; what they cannot say is refused, and never repeated."""
    assert fault_of_text("me") is None
    assert fault_of_password("p" * BYTES_MAX) is None
    assert fault_of_password("\0\x01 bytes are a password") is None
    for fault in (fault_of_text("é" * 40_000), fault_of_password("geheim" * 11_000), fault_of_password("a\ud800")):
        assert fault is not None
        assert "geheim" not in fault


@pytest.mark.parametrize(("host", "plain"), [("::1", "::1"), ("[::1]", "::1"), ("fe80::1%eth0", "fe80::1%eth0")])
def test_ipv6_has_one_meaning(host: str, plain: str) -> None:
    """With brackets or without, it is the same address; shown with its port it has them."""
    assert fault_of_host(host) is None
    assert plain_host(host) == plain
    assert place(plain, 1883) == f"[{plain}]:1883"


@pytest.mark.parametrize("host", ["", "a b", "mqtt://a", "me@a", "a:1883", "[::1", "::g", "a\0b"])
def test_a_host_is_a_host_alone(host: str) -> None:
    """A scheme, an account or a port in it is a fault, as is half an address."""
    assert fault_of_host(host)
