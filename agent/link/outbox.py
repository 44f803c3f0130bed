"""What waits for the broker: bounded, however long the broker is away or the link stalls."""

from collections import deque
from collections.abc import Container, Iterator, Sequence
from typing import Final

EVENTS_MAX: Final = 1000


class Outbox:
    """The newest payload of every retained topic, the last ``EVENTS_MAX`` events, and one keypoints message.

    It holds no lock: its owner does.
    """

    def __init__(self) -> None:
        self.superseded = 0
        self.events_dropped = 0
        self._announced: dict[str, bytes] = {}
        self._unsaid: dict[str, None] = {}
        self._events: deque[bytes] = deque()
        self._keypoints: bytes | None = None

    @property
    def empty(self) -> bool:
        """Nothing waits that would be missed."""
        return not self._unsaid and not self._events

    def announce(self, topic: str, payload: bytes) -> None:
        """Replace what the topic says."""
        self._announced[topic] = payload
        self._unsaid[topic] = None

    def event(self, payload: bytes) -> None:
        """Put an event behind the others; the oldest gives way when there are too many."""
        self._events.append(payload)
        self._drop_old_events()

    def keypoints(self, payload: bytes) -> None:
        """Replace the keypoints that wait, if any do."""
        self.superseded += self._keypoints is not None
        self._keypoints = payload

    def connected(self) -> None:
        """Say everything that is announced again, in the order in which the topics were first announced."""
        self._unsaid = dict.fromkeys(self._announced)

    def disconnected(self, unacknowledged_events: Sequence[bytes]) -> None:
        """Forget the keypoints, they are of the past; put events that may not have arrived in front again."""
        self._keypoints = None
        self._events.extendleft(reversed(unacknowledged_events))
        self._drop_old_events()

    def take_announcements(self, busy: Container[str]) -> Iterator[tuple[str, bytes]]:
        """Take what is to be said on topics that are not busy."""
        for topic in [topic for topic in self._unsaid if topic not in busy]:
            del self._unsaid[topic]
            yield topic, self._announced[topic]

    def take_events(self, count: int) -> Iterator[bytes]:
        """Take the oldest ``count`` events."""
        for _ in range(min(count, len(self._events))):
            yield self._events.popleft()

    def take_keypoints(self) -> bytes | None:
        """Take the keypoints that wait."""
        payload, self._keypoints = self._keypoints, None
        return payload

    def _drop_old_events(self) -> None:
        while len(self._events) > EVENTS_MAX:
            self._events.popleft()
            self.events_dropped += 1
