"""What waits for the broker is bounded and in order."""

from hypothesis import given
from hypothesis import strategies as st

from agent.link.outbox import LETTERS_BYTES_MAX, LETTERS_MAX, Letter, Outbox


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


@given(st.integers(0, LETTERS_MAX), st.integers(0, LETTERS_MAX + 50))
def test_letters_are_bounded_and_the_oldest_gives_way(unacknowledged: int, while_away: int) -> None:
    """What may not have arrived comes first again, the newest are kept, and every one that was dropped is counted."""
    outbox = Outbox()
    letters = [Letter("event", str(number).encode()) for number in range(unacknowledged + while_away)]
    for letter in letters[unacknowledged:]:
        outbox.post(letter)
    dropped_while_away = outbox.letters_dropped
    outbox.disconnected(letters[:unacknowledged])
    kept = list(outbox.take_letters(len(letters)))
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
    assert list(outbox.take_letters(3)) == letters[2:5]
    for letter in letters[6:]:
        outbox.post(letter)
    outbox.disconnected(letters[2:5])
    assert list(outbox.take_letters(9)) == letters[4:]
    assert outbox.letters_dropped == 4


def test_a_cleared_topic_is_forgotten_once_the_broker_has_cleared_it() -> None:
    """An empty payload is said again after a lost connection until it has arrived, and then never again."""
    outbox = Outbox()
    outbox.announce("job", b"done")
    outbox.announce("job", b"")
    assert list(outbox.take_announcements(busy=())) == [("job", b"")]
    outbox.connected()
    assert list(outbox.take_announcements(busy=())) == [("job", b"")]
    outbox.said("job")
    outbox.connected()
    assert outbox.empty


def test_a_topic_that_says_something_again_is_kept() -> None:
    """What is announced while the clearing is under way is not forgotten with it."""
    outbox = Outbox()
    outbox.announce("job", b"")
    assert list(outbox.take_announcements(busy=())) == [("job", b"")]
    outbox.announce("job", b"again")
    outbox.said("job")
    assert list(outbox.take_announcements(busy=())) == [("job", b"again")]
    outbox.said("job")
    outbox.connected()
    assert list(outbox.take_announcements(busy=())) == [("job", b"again")]


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
