"""How often a detector looks: as often as the box can afford, never so seldom that somebody new waits for long."""

import math
from typing import Final

PERIOD: Final = 2
"""Frames from one detection to the next, to begin with. A detection costs as much as three people."""
PERIOD_MAX: Final = 10
WINDOW: Final = 20
"""Frames after which the period is looked at again."""
SPARE: Final = 0.4
"""Share of the time in which nothing is to be done, from which the detector may look more often."""
SCARCE: Final = 0.1
"""Share below which dropped frames are this box's doing, and the detector is to look less often."""


class Rhythm:
    """Says of each frame, in order, whether the detector is to look at it.

    With a ``period`` it is every so many frames. Without, somebody lost has it look at the next frame, where they may
    be somewhere else, and the period follows the box: where frames are dropped because it has no time the period grows,
    where it often waits for the next frame it shrinks. A file of which none is dropped and that always has the next one
    keeps the period that it began with. Either way it looks at a frame that shows the scene more than ``expected_s``
    after the frame before: nobody is expected any more where they were.
    """

    def __init__(self, period: int | None, expected_s: float = math.inf) -> None:
        self._fixed = period is not None
        self._expected_s = expected_s
        self._scene_s = math.inf
        """When on the clock of the scene, of the frame before."""
        self.period = period or PERIOD
        self._since = self.period
        """Frames since the last detection; the first frame is looked at."""
        self._hurried = False
        self._seq: int | None = None
        self._frames = 0
        self._dropped = 0
        self._began_s = 0.0
        self._idle_s = 0.0
        self._taken = 0
        self._finished = 0
        self._finished_s = 0.0

    def due(self, seq: int, now_s: float, scene_s: float) -> bool:
        """Whether the detector is to look at frame ``seq``, taken at ``now_s`` of time.perf_counter().

        ``scene_s`` is the frame's moment on the clock by which people move.
        """
        if not self._fixed:
            self._watch(seq, now_s)
        late = scene_s - self._scene_s > self._expected_s
        self._scene_s = scene_s
        self._since += 1
        if self._since < self.period and not (self._hurried or late):
            return False
        self._since, self._hurried = 0, False
        return True

    def hurry(self) -> None:
        """Somebody who was expected is not there."""
        self._hurried = not self._fixed

    def done(self, now_s: float) -> None:
        """The oldest frame on its way is finished."""
        self._finished += 1
        self._finished_s = now_s

    def _watch(self, seq: int, now_s: float) -> None:
        if self._seq is not None:
            self._dropped += max(0, seq - self._seq - 1)
            if self._finished == self._taken:
                self._idle_s += now_s - self._finished_s
        else:
            self._began_s = now_s
        self._seq = seq
        self._taken += 1
        self._frames += 1
        if self._frames == WINDOW:
            idle = self._idle_s / max(now_s - self._began_s, 1e-9)
            if self._dropped and idle < SCARCE:
                self.period = min(self.period + 1, PERIOD_MAX)
            elif not self._dropped and idle > SPARE:
                self.period = max(self.period - 1, 1)
            self._frames = self._dropped = 0
            self._idle_s, self._began_s = 0.0, now_s
