"""What waits for the broker: bounded, however long the broker is away or the link stalls."""

from collections import deque
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

LETTERS_MAX: Final = 1000
LETTERS_BYTES_MAX: Final = 16 << 20
"""Few letters may be large: whoever asks for snapshots over a link that stalls gets the last of them."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that is worth as much later: an event, or a reply and what it answers."""

    topic: str
    payload: bytes
    correlation: bytes | None = None


class Outbox:
    """The newest payload of every retained topic, the last letters, and one keypoints message.

    It holds no lock: its owner does.
    """

    def __init__(self) -> None:
        self.superseded = 0
        self.letters_dropped = 0
        self._announced: dict[str, bytes] = {}
        self._unsaid: dict[str, None] = {}
        self._letters: deque[Letter] = deque()
        self._letters_bytes = 0
        self._keypoints: bytes | None = None

    @property
    def empty(self) -> bool:
        """Nothing waits that would be missed."""
        return not self._unsaid and not self._letters

    def announce(self, topic: str, payload: bytes) -> None:
        """Replace what the topic says."""
        self._announced[topic] = payload
        self._unsaid[topic] = None

    def said(self, topic: str) -> None:
        """Forget a topic that the broker has cleared; an empty retained payload does that."""
        if topic not in self._unsaid and not self._announced.get(topic, b"-"):
            del self._announced[topic]

    def post(self, letter: Letter) -> None:
        """Put a letter behind the others; the oldest gives way when there are too many."""
        self._letters.append(letter)
        self._letters_bytes += len(letter.payload)
        self._drop_old_letters()

    def keypoints(self, payload: bytes) -> None:
        """Replace the keypoints that wait, if any do."""
        self.superseded += self._keypoints is not None
        self._keypoints = payload

    def connected(self) -> None:
        """Say everything that is announced again, in the order in which the topics were first announced."""
        self._unsaid = dict.fromkeys(self._announced)

    def disconnected(self, unacknowledged: Sequence[Letter]) -> None:
        """Forget the keypoints, they are of the past; put letters that may not have arrived in front again."""
        self._keypoints = None
        self._letters.extendleft(reversed(unacknowledged))
        self._letters_bytes += sum(len(letter.payload) for letter in unacknowledged)
        self._drop_old_letters()

    def take_announcements(self, busy: Container[str]) -> Iterator[tuple[str, bytes]]:
        """Take what is to be said on topics that are not busy."""
        for topic in [topic for topic in self._unsaid if topic not in busy]:
            del self._unsaid[topic]
            yield topic, self._announced[topic]

    def take_letters(self, count: int) -> Iterator[Letter]:
        """Take the oldest ``count`` letters."""
        for _ in range(min(count, len(self._letters))):
            yield self._oldest()

    def take_keypoints(self) -> bytes | None:
        """Take the keypoints that wait."""
        payload, self._keypoints = self._keypoints, None
        return payload

    def _drop_old_letters(self) -> None:
        while len(self._letters) > LETTERS_MAX or self._letters_bytes > LETTERS_BYTES_MAX:
            self._oldest()
            self.letters_dropped += 1

    def _oldest(self) -> Letter:
        letter = self._letters.popleft()
        self._letters_bytes -= len(letter.payload)
        return letter
