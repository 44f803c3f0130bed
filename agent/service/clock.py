"""The wall clock, watched: what it says goes out with every message, and certificates and commands expire by it."""

import time
from datetime import UTC, datetime
from typing import Final

from agent.control.events import Note
from agent.wire.messages import Severity

JUMP_S: Final = 2.0
"""What NTP slews in a window of metrics is far below, and what it steps is told."""


class WallClock:
    """Notices that the clock was set.

    Nothing but the time in messages depends on it: durations are measured on another clock, which nobody can set.
    """

    def __init__(self) -> None:
        self._ahead_s = _ahead_s()

    def jump(self) -> Note | None:
        """What to tell when the clock was set since the last call; None when it was not."""
        before_s, self._ahead_s = self._ahead_s, _ahead_s()
        jumped_s = round(self._ahead_s - before_s, 3)
        if abs(jumped_s) < JUMP_S:
            return None
        way = "forward" if jumped_s > 0 else "back"
        text = f"the clock was set {way} by {abs(jumped_s):.1f} s: times told before do not fit those told from now on"
        return Note("clock.jumped", Severity.WARNING, text, {"jumped_s": jumped_s})


def _ahead_s() -> float:
    return datetime.now(UTC).timestamp() - time.monotonic()
