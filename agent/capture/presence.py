"""Whether frames flow: each loss and each return is told once, in their order."""

import math
import threading
from typing import Literal

import structlog

from agent.capture.frame import CaptureCode, CaptureEvent, Notify, Picture

log = structlog.get_logger()

_DAMAGE_PAUSE_S = 60.0
"""Damage is told at once, and then no oftener than this."""


class Presence:
    """The state opening, live or lost of one source. Safe to call from several threads; time is an argument.

    The state changes before anyone is told, so that a listener that raises is not told the same again. Listeners are
    told under the lock: a loss and a return noticed by two threads cannot overtake each other on the way.
    """

    def __init__(self, address: str, notify: Notify, now_s: float) -> None:
        self._address = address
        self._notify = notify
        self._lock = threading.Lock()
        self._state: Literal["opening", "live", "lost"] = "opening"
        self._last_frame_s = now_s
        self._lost_s = now_s
        self._size = (0, 0)
        self._damaged = 0
        self._software_told = False
        self._damage_told_s = -math.inf

    def flowing(self, picture: Picture, now_s: float) -> None:
        """Take note of a picture: the source is open, or back."""
        self._last_frame_s = now_s
        height, width = picture.shape[:2]
        if self._state == "live" and self._size == (width, height):
            return
        with self._lock:
            was, self._state = self._state, "live"
            before, self._size = self._size, (width, height)
            if was == "opening":
                self._tell("camera.opened", f"{width}x{height} from {self._address}", width=width, height=height)
            elif was == "lost":
                dark_s = round(now_s - self._lost_s, 3)
                message = f"frames flow again after {dark_s:.1f} s"
                self._tell("camera.back", message, lost_s=dark_s, width=width, height=height)
            elif was == "live":
                message = f"the picture is {width}x{height} now, it was {before[0]}x{before[1]}"
                self._tell("camera.changed", message, width=width, height=height)

    def damage(self, total: int, now_s: float) -> None:
        """Take note of how many pictures could not be decoded so far."""
        if total <= self._damaged or now_s - self._damage_told_s < _DAMAGE_PAUSE_S:
            return
        with self._lock:
            more, self._damaged, self._damage_told_s = total - self._damaged, total, now_s
            self._tell("camera.damaged", f"pictures damaged or missing: {more}", damaged=more, total=total)

    def software(self, why: str) -> None:
        """Tell, once, that software decodes where hardware was asked for."""
        if not why or self._software_told:
            return
        with self._lock:
            self._software_told = True
            self._tell("camera.software", f"{why}; software decodes", cause=why)

    def frozen(self, still_s: float) -> None:
        """Tell that the picture stands still."""
        with self._lock:
            if self._state == "live":
                self._tell(
                    "camera.frozen", f"the picture has not changed for {still_s:.1f} s", still_s=round(still_s, 3)
                )

    def lost(self, cause: str, now_s: float, cure: str = "") -> None:
        """Tell, once, that no frames come any more, and what would help."""
        with self._lock:
            if self._state == "lost":
                return
            self._state, self._lost_s = "lost", now_s
            after_s = round(now_s - self._last_frame_s, 3)
            facts: dict[str, str | float] = {"cause": cause, "after_s": after_s}
            if cure:
                facts["cure"] = cure
            self._tell("camera.lost", f"{cause}: {cure}" if cure else cause, **facts)

    def _tell(self, code: CaptureCode, message: str, **facts: str | float) -> None:
        level = log.info if code in ("camera.opened", "camera.back", "camera.changed") else log.warning
        level(code, source=self._address, **facts)
        self._notify(CaptureEvent(code, message, {"source": self._address, **facts}))
