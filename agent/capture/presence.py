"""Whether frames flow: each loss and each return is told once, in their order."""

import threading
from typing import Literal

import structlog

from agent.capture.frame import CaptureCode, CaptureEvent, Image, Notify

log = structlog.get_logger()


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

    def flowing(self, picture: Image, now_s: float) -> None:
        """Take note of a picture: the source is open, or back."""
        self._last_frame_s = now_s
        if self._state == "live":
            return
        with self._lock:
            was, self._state = self._state, "live"
            height, width = picture.shape[:2]
            if was == "opening":
                self._tell("camera.opened", f"{width}x{height} from {self._address}", width=width, height=height)
            elif was == "lost":
                dark_s = round(now_s - self._lost_s, 3)
                message = f"frames flow again after {dark_s:.1f} s"
                self._tell("camera.back", message, lost_s=dark_s, width=width, height=height)

    def frozen(self, still_s: float) -> None:
        """Tell that the picture stands still."""
        with self._lock:
            if self._state == "live":
                self._tell(
                    "camera.frozen", f"the picture has not changed for {still_s:.1f} s", still_s=round(still_s, 3)
                )

    def lost(self, cause: str, now_s: float) -> None:
        """Tell, once, that no frames come any more."""
        with self._lock:
            if self._state == "lost":
                return
            self._state, self._lost_s = "lost", now_s
            self._tell("camera.lost", cause, cause=cause, after_s=round(now_s - self._last_frame_s, 3))

    def _tell(self, code: CaptureCode, message: str, **facts: str | float) -> None:
        level = log.info if code in ("camera.opened", "camera.back") else log.warning
        level(code, source=self._address, **facts)
        self._notify(CaptureEvent(code, message, {"source": self._address, **facts}))
