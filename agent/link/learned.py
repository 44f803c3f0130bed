"""What a broker takes and did not say: learned from what it ended connections for, and believed for a time."""

import time
from typing import Final

from agent.wire.limits import Limits

FADES_AFTER_S: Final = 3600.0
FADES_AFTER_MAX_S: Final = 86_400.0
now_s = time.monotonic


class Learned:
    """Limits that a broker keeps to itself.

    It may be another broker tomorrow, or was another fault: after an hour they are forgotten, and what does not fit is
    tried again. Where that costs a connection again, they are believed for twice as long, and a day at most.
    """

    def __init__(self) -> None:
        self.limits = Limits()
        self._fades_after_s = FADES_AFTER_S / 2
        self._fades_at_s = 0.0

    def learn(self, code: int | None, packet_bytes: int) -> None:
        """Take what a connection ended for: the reason code, and the largest packet that was under way."""
        if (known := self.limits.without(code, packet_bytes)) == self.limits:
            return
        if self.limits == Limits():  # anew, not a limit that is found out step by step
            self._fades_after_s = min(2 * self._fades_after_s, FADES_AFTER_MAX_S)
        self.limits = known
        self._fades_at_s = now_s() + self._fades_after_s

    def fades(self) -> bool:
        """Forget what has been believed for long enough; whether there was anything."""
        if self.limits == Limits() or now_s() < self._fades_at_s:
            return False
        self.limits = Limits()
        return True
