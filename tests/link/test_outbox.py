"""What waits for the broker is bounded and in order."""

import itertools
from collections.abc import Container

from hypothesis import given
from hypothesis import strategies as st

from agent.link.outbox import LETTERS_BYTES_MAX, LETTERS_MAX, TRIES_MAX, Letter, News, Outbox
from agent.wire.limits import Limits, publish_bytes


def spoken(outbox: Outbox, busy: Container[str] = ()) -> list[tuple[str, bytes]]:
    """Take everything that is to be said on topics that are not busy."""
    return [(news.topic, news.payload) for news in iter(lambda: outbox.take_announcement(busy), None)]


def letters_of(outbox: Outbox, count: int = 10**6) -> list[Letter]:
    """Take letters, the oldest first."""
    return list(itertools.islice(iter(outbox.take_letter, None), count))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.binary(max_size=3)), max_size=30))
def test_the_newest_payload_of_a_topic_is_what_is_said(said: list[tuple[str, bytes]]) -> None:
    """However often a topic is announced, one payload waits for it: the last, in the order of first announcement."""
    outbox = Outbox()
    for topic, payload in said:
        outbox.announce(News(topic, payload))
    assert spoken(outbox) == list(dict(said).items())
    assert outbox.empty


def test_a_busy_topic_waits() -> None:
    """A topic whose last message is not acknowledged is left for later, the others are not held up."""
    outbox = Outbox()
    outbox.announce(News("state", b"1"))
    outbox.announce(News("info", b"2"))
    assert spoken(outbox, {"state"}) == [("info", b"2")]
    assert spoken(outbox) == [("state", b"1")]


@given(st.integers(0, LETTERS_MAX), st.integers(0, LETTERS_MAX + 50))
def test_letters_are_bounded_and_the_oldest_gives_way(unacknowledged: int, while_away: int) -> None:
    """What may not have arrived comes first again, the newest are kept, and every one that was dropped is counted."""
    outbox = Outbox()
    letters = [Letter("event", str(number).encode()) for number in range(unacknowledged + while_away)]
    for letter in letters[unacknowledged:]:
        outbox.post(letter)
    dropped_while_away = outbox.letters_dropped
    outbox.disconnected(letters[:unacknowledged])
    kept = letters_of(outbox)
    assert len(kept) == min(len(letters), LETTERS_MAX)
    assert outbox.letters_dropped == len(letters) - len(kept)
    if not dropped_while_away:
        assert kept == letters[len(letters) - len(kept) :]


def test_large_letters_are_bounded_by_their_size() -> None:
    """However few they are, no more than so many bytes wait; what has been taken does not count."""
    outbox = Outbox()
    size = LETTERS_BYTES_MAX // 4
    letters = [Letter("reply", bytes([number]) * size) for number in range(8)]
    for letter in letters[:6]:
        outbox.post(letter)
    assert outbox.letters_dropped == 2
    assert letters_of(outbox, 3) == letters[2:5]
    for letter in letters[6:]:
        outbox.post(letter)
    outbox.disconnected(letters[2:5])
    assert letters_of(outbox) == letters[4:]
    assert outbox.letters_dropped == 4


def test_a_cleared_topic_is_forgotten_once_the_broker_has_cleared_it() -> None:
    """An empty payload is said again after a lost connection until it has arrived, and then never again."""
    outbox = Outbox()
    outbox.announce(News("job", b"done"))
    outbox.announce(News("job", b""))
    assert spoken(outbox) == [("job", b"")]
    outbox.connected(Limits())
    assert spoken(outbox) == [("job", b"")]
    outbox.said("job")
    outbox.connected(Limits())
    assert outbox.empty


def test_a_topic_that_says_something_again_is_kept() -> None:
    """What is announced while the clearing is under way is not forgotten with it."""
    outbox = Outbox()
    outbox.announce(News("job", b""))
    assert spoken(outbox) == [("job", b"")]
    outbox.announce(News("job", b"again"))
    outbox.said("job")
    assert spoken(outbox) == [("job", b"again")]
    outbox.said("job")
    outbox.connected(Limits())
    assert spoken(outbox) == [("job", b"again")]


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


def test_a_letter_no_connection_survives_is_given_up() -> None:
    """So many connections may end under one letter: it is dropped then, told, and the others go on."""
    outbox = Outbox()
    outbox.post(Letter("reply", b"poison"))
    outbox.post(Letter("event", b"well"))
    for _ in range(TRIES_MAX):
        taken = letters_of(outbox)
        outbox.disconnected(taken)
    assert [letter.payload for letter in letters_of(outbox)] == [b"well"]
    (dropped,) = outbox.dropped
    assert (dropped.topic, dropped.limit_bytes) == ("reply", None)


@given(st.lists(st.tuples(st.sampled_from(["state", "info"]), st.integers(0, 60))), st.integers(20, 60))
def test_what_does_not_fit_is_handed_to_nobody(said: list[tuple[str, int]], limit: int) -> None:
    """What is taken fits, and what does not fit is dropped and told: of announcements and of letters."""
    outbox = Outbox()
    outbox.connected(Limits(packet_bytes=limit))
    for topic, size in said:
        outbox.announce(News(topic, bytes(size)))
        outbox.post(Letter(topic, bytes(size)))
    taken = [len(payload) for _, payload in spoken(outbox)] + [len(each.payload) for each in letters_of(outbox)]
    assert all(publish_bytes("info", bytes(size)) <= limit for size in taken)
    assert all(each.packet_bytes > limit == each.limit_bytes for each in outbox.dropped)
    assert len(taken) + len(outbox.dropped) == len(said) + len({topic for topic, _ in said})
    assert outbox.empty
