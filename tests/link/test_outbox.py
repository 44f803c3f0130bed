"""What waits for the broker is bounded and in order."""

from hypothesis import given
from hypothesis import strategies as st

from agent.link.outbox import EVENTS_MAX, Outbox


@given(st.lists(st.tuples(st.sampled_from("abc"), st.binary(max_size=3)), max_size=30))
def test_the_newest_payload_of_a_topic_is_what_is_said(said: list[tuple[str, bytes]]) -> None:
    """However often a topic is announced, one payload waits for it: the last, in the order of first announcement."""
    outbox = Outbox()
    for topic, payload in said:
        outbox.announce(topic, payload)
    assert list(outbox.take_announcements(busy=())) == list(dict(said).items())
    assert outbox.empty


def test_a_busy_topic_waits() -> None:
    """A topic whose last message is not acknowledged is left for later, the others are not held up."""
    outbox = Outbox()
    outbox.announce("state", b"1")
    outbox.announce("info", b"2")
    assert list(outbox.take_announcements(busy={"state"})) == [("info", b"2")]
    assert list(outbox.take_announcements(busy=())) == [("state", b"1")]


@given(st.integers(0, EVENTS_MAX), st.integers(0, EVENTS_MAX + 50))
def test_events_are_bounded_and_the_oldest_gives_way(unacknowledged: int, while_away: int) -> None:
    """What may not have arrived comes first again, the newest are kept, and every one that was dropped is counted."""
    outbox = Outbox()
    events = [str(number).encode() for number in range(unacknowledged + while_away)]
    for payload in events[unacknowledged:]:
        outbox.event(payload)
    dropped_while_away = outbox.events_dropped
    outbox.disconnected(events[:unacknowledged])
    kept = list(outbox.take_events(len(events)))
    assert len(kept) == min(len(events), EVENTS_MAX)
    assert outbox.events_dropped == len(events) - len(kept)
    if not dropped_while_away:
        assert kept == events[len(events) - len(kept) :]


def test_one_keypoints_message_waits_and_dies_with_the_connection() -> None:
    """The newest keypoints replace the waiting ones, which are counted; a lost connection forgets them."""
    outbox = Outbox()
    outbox.keypoints(b"1")
    outbox.keypoints(b"2")
    assert outbox.superseded == 1
    assert outbox.take_keypoints() == b"2"
    outbox.keypoints(b"3")
    outbox.disconnected([])
    assert outbox.take_keypoints() is None
    assert outbox.superseded == 1
