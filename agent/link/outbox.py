"""What waits for the broker: bounded, however long it is away or the link stalls, and nothing that it cannot take."""

from collections import deque
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import Final

from agent.wire.limits import EXPIRY_BYTES, Limits, publish_bytes

LETTERS_MAX: Final = 1000
LETTERS_BYTES_MAX: Final = 16 << 20
"""Few letters may be large: whoever asks for snapshots over a link that stalls gets the last of them."""
TRIES_MAX: Final = 5
"""Connections that may end while one letter is under way: then it is the letter."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that is worth as much later: an event, or a reply and what it answers."""

    topic: str
    payload: bytes
    correlation: bytes | None = None
    tries: int = field(default=0, compare=False)
    """Connections that ended while it was under way."""

    @property
    def packet_bytes(self) -> int:
        """What it takes on the wire."""
        return publish_bytes(self.topic, self.payload, correlation=self.correlation)

    def again(self) -> "Letter":
        """The letter after another connection that ended under it."""
        return Letter(self.topic, self.payload, self.correlation, self.tries + 1)


@dataclass(frozen=True, slots=True)
class News:
    """The newest word on a retained topic; the broker forgets it after ``expiry_s``, if given."""

    topic: str
    payload: bytes
    expiry_s: int | None = None

    @property
    def packet_bytes(self) -> int:
        """What it takes on the wire."""
        return publish_bytes(self.topic, self.payload, more=0 if self.expiry_s is None else EXPIRY_BYTES)


@dataclass(frozen=True, slots=True)
class Dropped:
    """Something that cannot go, and why: its size against a limit, or, without one, what ended under it."""

    topic: str
    packet_bytes: int
    limit_bytes: int | None
    letter: Letter | None = None
    """Where it was one; its sender may be told."""


class Outbox:
    """The newest payload of every retained topic, the last letters, and one keypoints message.

    What does not fit the broker's limits is handed to nobody: it waits in ``dropped`` to be told. It holds no lock: its
    owner does.
    """

    def __init__(self) -> None:
        self.superseded = 0
        self.letters_dropped = 0
        self.dropped: list[Dropped] = []
        self.limits = Limits()
        """Of the broker we are connected to."""
        self._announced: dict[str, News] = {}
        self._unsaid: dict[str, None] = {}
        self._letters: deque[Letter] = deque()
        self._letters_bytes = 0
        self._keypoints: bytes | None = None

    @property
    def empty(self) -> bool:
        """Nothing waits that would be missed."""
        return not self._unsaid and not self._letters

    def announce(self, news: News) -> None:
        """Replace what the topic says."""
        self._announced[news.topic] = news
        self._unsaid[news.topic] = None

    def said(self, topic: str) -> None:
        """Forget a topic that the broker has cleared; an empty retained payload does that."""
        if topic not in self._unsaid and topic in self._announced and not self._announced[topic].payload:
            del self._announced[topic]

    def keeps(self, topic: str) -> bool:
        """Whether the topic has a word, be it that it is to be cleared."""
        return topic in self._announced

    def post(self, letter: Letter) -> None:
        """Put a letter behind the others; the oldest gives way when there are too many."""
        self._letters.append(letter)
        self._letters_bytes += len(letter.payload)
        self._drop_old_letters()

    def keypoints(self, payload: bytes) -> None:
        """Replace the keypoints that wait, if any do."""
        self.superseded += self._keypoints is not None
        self._keypoints = payload

    def connected(self, limits: Limits) -> None:
        """Say everything that is announced again, in the order in which the topics were first announced."""
        self.limits = limits
        self._unsaid = dict.fromkeys(self._announced)

    def disconnected(self, unacknowledged: Sequence[Letter]) -> None:
        """Forget the keypoints, they are of the past; put letters that may not have arrived in front again.

        The one under way the longest is given up when too many connections have ended under it.
        """
        self._keypoints = None
        again = [letter.again() for letter in unacknowledged]
        if again and again[0].tries >= TRIES_MAX:
            self.give_up(again.pop(0), None)
        self._letters.extendleft(reversed(again))
        self._letters_bytes += sum(len(letter.payload) for letter in again)
        self._drop_old_letters()

    def give_up(self, letter: Letter, limit_bytes: int | None) -> None:
        """Drop a letter that the broker does not take."""
        self.letters_dropped += 1
        self.dropped.append(Dropped(letter.topic, letter.packet_bytes, limit_bytes, letter))

    def take_announcement(self, busy: Container[str]) -> News | None:
        """Take what is to be said first on a topic that is not busy; None where nothing is."""
        for topic in [topic for topic in self._unsaid if topic not in busy]:
            del self._unsaid[topic]
            news = self._announced[topic]
            if self.limits.fits(news.packet_bytes):
                return news
            self.dropped.append(Dropped(topic, news.packet_bytes, self.limits.packet_bytes))
        return None

    def take_letter(self) -> Letter | None:
        """Take the oldest letter."""
        while self._letters:
            letter = self._oldest()
            if self.limits.fits(letter.packet_bytes):
                return letter
            self.give_up(letter, self.limits.packet_bytes)
        return None

    def take_keypoints(self) -> bytes | None:
        """Take the keypoints that wait."""
        payload, self._keypoints = self._keypoints, None
        return payload

    def keypoints_fit(self, topic: str, payload: bytes) -> bool:
        """Whether keypoints may go; where not, they are dropped."""
        size = publish_bytes(topic, payload, qos=0)
        if fits := self.limits.fits(size):
            return fits
        self.dropped.append(Dropped(topic, size, self.limits.packet_bytes))
        return False

    def _drop_old_letters(self) -> None:
        while len(self._letters) > LETTERS_MAX or self._letters_bytes > LETTERS_BYTES_MAX:
            self._oldest()
            self.letters_dropped += 1

    def _oldest(self) -> Letter:
        letter = self._letters.popleft()
        self._letters_bytes -= len(letter.payload)
        return letter
