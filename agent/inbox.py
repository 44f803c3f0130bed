"""What happens to the agent, one thing after the other, from every thread to the supervisor's."""

import queue
from dataclasses import dataclass

import structlog

from agent.assembly import News
from agent.control.events import Informed, Note
from agent.wire.commands import Incoming

log = structlog.get_logger()

COMMANDS_MAX = 20_000
COMMAND_BYTES_MAX = 16 << 20
"""Commands that wait: what is more of a flood is dropped and counted before it takes the box's memory."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Somebody asks the agent to end."""

    reason: str


Happening = Stop | Incoming | Note | Informed | News


class Inbox:
    """A queue of happenings, in which commands are bounded."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Happening] = queue.SimpleQueue()
        self._dropped = 0
        self._given_bytes = 0
        self._taken_bytes = 0

    def put(self, happening: Happening) -> None:
        """Put in what is no command; from any thread."""
        self._queue.put(happening)

    def put_command(self, incoming: Incoming) -> None:
        """Put in a command, if there is room; from the link's thread alone."""
        if self._given_bytes - self._taken_bytes > COMMAND_BYTES_MAX or self._queue.qsize() > COMMANDS_MAX:
            self._dropped += 1
            if self._dropped % COMMANDS_MAX == 1:
                log.warning("command.flood", dropped=self._dropped)
            return
        self._given_bytes += len(incoming.payload)
        self._queue.put(incoming)

    def get(self, timeout_s: float) -> Happening | None:
        """Take the oldest; None when nothing happened. From the supervisor's thread alone."""
        try:
            happening = self._queue.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return None
        if isinstance(happening, Incoming):
            self._taken_bytes += len(happening.payload)
        return happening
