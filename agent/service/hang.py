"""An inference that never returns, noticed by the agent itself, wherever it runs.

A call into a driver cannot be interrupted: only the end of the process helps. systemd's watchdog would end it too, but
a container, a demo or a plain shell has none, and a watchdog says nothing to whoever looks from a distance.
"""

from enum import Enum


class Answering(Enum):
    """How the device answers."""

    YES = "yes"
    LATE = "late"
    """Told: it may still come."""
    NEVER = "never"


class Hang:
    """Decides from the pipeline's counters, without thread or clock. Times are seconds on any one clock."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._finished = 0
        self._owed_s = 0.0
        self._looked_s: float | None = None
        self.look_every_s = timeout_s / 8

    def look(self, begun: int, finished: int, now_s: float) -> Answering:
        """Judge frames given to the device and frames it has answered; to be called every ``look_every_s``.

        An answer is owed for as long as the device has a frame and finishes none. A process that did not look for long
        was itself stopped, and its device with it: of such a time no more counts than two looks are apart.
        """
        passed_s = 0.0 if self._looked_s is None else min(now_s - self._looked_s, 2 * self.look_every_s)
        self._looked_s = now_s
        if finished != self._finished or begun <= finished:
            self._finished, self._owed_s = finished, 0.0
        else:
            self._owed_s += passed_s
        if self._owed_s >= self._timeout_s:
            return Answering.NEVER
        return Answering.LATE if self._owed_s >= self._timeout_s / 2 else Answering.YES
