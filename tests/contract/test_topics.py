"""The topics."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agent.wire.topics import DEVICE_ID, Topics, every_device, group_command, group_reply, parse

IDS = st.from_regex(DEVICE_ID, fullmatch=True)
PREFIXES = st.from_regex(r"[^#+\s/]+(/[^#+\s/]+)?", fullmatch=True)
LEVELS = st.from_regex(r"[^/+#\0]{1,20}", fullmatch=True)
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


@given(IDS, st.lists(IDS, max_size=3), PREFIXES, LEVELS)
def test_a_command_is_heard_by_device_and_groups(device_id: str, groups: list[str], prefix: str, name: str) -> None:
    """The name is read off a command to the device or to one of its groups, and each such topic matches a filter."""
    topics = Topics(device_id, prefix)
    commanded = [topics.command(name), *(group_command(group, name, prefix) for group in groups)]
    assert [topics.command_of(topic, groups) for topic in commanded] == [name] * len(commanded)
    assert [wanted.removesuffix("+") + name for wanted in topics.command_filters(groups)] == commanded


@given(IDS, IDS, PREFIXES, LEVELS)
def test_commands_to_others_are_not_heard(device_id: str, other: str, prefix: str, name: str) -> None:
    """A command to another device, to a group we are not in, or below another prefix is none of ours."""
    assume(other != device_id)
    topics = Topics(device_id, prefix)
    foreign = [Topics(other, prefix).command(name), group_command(other, name, prefix), f"x{topics.command(name)}"]
    assert [topics.command_of(topic, [device_id]) for topic in foreign] == [None] * 3
    assert topics.command_of(topics.command("")) is None
    assert topics.command_of(f"{topics.command(name)}/more") is None


@given(IDS, IDS, PREFIXES, LEVELS)
def test_a_reply_topic_is_ours_or_a_groups(device_id: str, other: str, prefix: str, client: str) -> None:
    """The client is read off a reply topic of the device, and of any group; off nobody else's."""
    assume(other != device_id)
    topics = Topics(device_id, prefix)
    assert topics.client_of(topics.reply(client)) == client
    assert topics.client_of(group_reply(other, client, prefix)) == client
    foreign = [Topics(other, prefix).reply(client), topics.command(client), f"{topics.reply(client)}/more"]
    assert [topics.client_of(topic) for topic in [*foreign, topics.reply(""), f"x{topics.reply(client)}"]] == [None] * 5


@given(IDS, PREFIXES, LEVELS)
def test_the_filter_of_every_devices_jobs(device_id: str, prefix: str, job_id: str) -> None:
    """One filter has the jobs of every device, and a job's topic is read back."""
    topic = Topics(device_id, prefix).job(job_id)
    assert every_device(f"job/{job_id}", prefix).replace("+", device_id) == topic
    assert parse(topic, prefix) == (device_id, f"job/{job_id}")


def test_impossible_groups_are_refused() -> None:
    """A group has the form of a device id."""
    with pytest.raises(ValueError, match="group"):
        group_command("a/b", "pause")
