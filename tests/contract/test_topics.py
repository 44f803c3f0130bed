"""The topics."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire.topics import DEVICE_ID, Topics, every_device, parse

IDS = st.from_regex(DEVICE_ID, fullmatch=True)
PREFIXES = st.from_regex(r"[^#+\s/]+(/[^#+\s/]+)?", fullmatch=True)
LEAVES = ["availability", "info", "state", "metrics", "keypoints", "event"]


@given(IDS, PREFIXES, st.sampled_from(LEAVES))
def test_a_topic_is_read_back(device_id: str, prefix: str, leaf: str) -> None:
    """The topic of a device's leaf is split into just that device and leaf, and every_device() has its shape."""
    topic = getattr(Topics(device_id, prefix), leaf)
    assert parse(topic, prefix) == (device_id, leaf)
    assert every_device(leaf, prefix).replace("+", device_id) == topic


@given(st.text(max_size=40))
def test_any_text_is_a_devices_topic_or_none(topic: str) -> None:
    """What parse() accepts has a valid device id and builds the same topic; everything else is None."""
    place = parse(topic)
    if place is not None:
        assert DEVICE_ID.fullmatch(place[0])
        assert topic == f"edgepose/{place[0]}/{place[1]}"


@pytest.mark.parametrize(
    "topic", ["edgepose/edge-1", "edgepose/edge-1/", "edgepose//state", "other/edge-1/state", "edgepose/Edge/state"]
)
def test_what_is_no_devices_topic(topic: str) -> None:
    """Other prefixes, missing levels and impossible ids are not a device's."""
    assert parse(topic) is None


@pytest.mark.parametrize("device_id", ["", "-a", "A", "a b", "a/b", "a+", "a" * 64, "ä"])
def test_impossible_ids_are_refused(device_id: str) -> None:
    """An id that could not be a topic level everywhere is refused when the topics are made."""
    with pytest.raises(ValueError, match="device id"):
        Topics(device_id)
