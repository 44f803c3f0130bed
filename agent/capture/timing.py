"""When a frame is due, wanted, or too old. All of it pure: the time is an argument, in seconds of one steady clock."""

import math

from tenacity import RetryCallState, Retrying

from agent.policies import LOG_IN_AGAIN, REOPEN_CAMERA

SILENCE_S = 0.5
"""What waited longer than this on its way is too old to be shown."""

FIRST_PICTURE_S = 12.0
"""Who joins a stream between two key frames sees nothing up to the next; ten seconds are the longest that are usual."""

_DRAIN_MAX_S = 1.0
_SMOOTHING = 0.1
_JITTER = 0.25  # of the period of the cap
_STEADY_S = 5.0


class Pacer:
    """When the pictures of a file are due, by its own time stamps."""

    def __init__(self) -> None:
        self._start_s = -math.inf
        self._position_s = 0.0
        self._step_s = 0.0

    def due_in_s(self, position_s: float, now_s: float) -> float:
        """Seconds until the picture at this position is due, 0 when it is."""
        return max(0.0, self._start_s + position_s - now_s)

    def advance(self, position_s: float, now_s: float) -> None:
        """Take a picture. Who is late by more than a frame goes on from now: a pause is not made up for."""
        step_s, self._position_s = position_s - self._position_s, position_s
        if now_s - (self._start_s + position_s) > max(step_s, self._step_s):
            self._start_s = now_s - position_s
        self._step_s = step_s


class FrameRateCap:
    """Lets through at most ``fps_max`` frames a second, evenly; None lets through all."""

    def __init__(self, fps_max: float | None) -> None:
        self._period_s = 1 / fps_max if fps_max else 0.0
        self._due_s = -math.inf

    def admits(self, at_s: float) -> bool:
        """Whether the frame of this moment is wanted."""
        # A camera as fast as the cap jitters around it and must not lose every other frame.
        if at_s < self._due_s - _JITTER * self._period_s:
            return False
        late = at_s - self._due_s > self._period_s
        self._due_s = (at_s if late else self._due_s) + self._period_s
        return True


class Backlog:
    """Tells frames that waited in a pipe from frames that have just arrived.

    After a silence (a stall, a starved thread, a new connection) what comes first may have been waiting on its way.
    Frames are taken for stale until one of them had to be waited for, a second at most: a camera faster than it says
    would never be waited for long enough.
    """

    def __init__(self, period_s: float, now_s: float) -> None:
        self._typical_s = period_s
        self._arrived_s = now_s
        self._suspect_since_s: float | None = now_s

    def is_stale(self, now_s: float, waited_s: float) -> bool:
        """Judge the frame that arrived ``now_s`` after ``waited_s`` spent waiting for it."""
        interval_s, self._arrived_s = now_s - self._arrived_s, now_s
        if self._suspect_since_s is None:
            if interval_s > max(SILENCE_S, 3 * self._typical_s):
                self._suspect_since_s = now_s
                return True
            self._typical_s += _SMOOTHING * (interval_s - self._typical_s)
            return False
        if waited_s < self._typical_s / 3 and now_s - self._suspect_since_s < _DRAIN_MAX_S:
            return True
        self._suspect_since_s = None
        self._typical_s += _SMOOTHING * (waited_s - self._typical_s)
        return False


class Backoff:
    """The pauses between attempts to open a camera: ``REOPEN_CAMERA``, from the start of one to the start of the next.

    An attempt that took long has waited enough already. A connection that held for a while starts the row anew.
    After a refused log-in it is ``LOG_IN_AGAIN``: each one more may lock the account.
    """

    def __init__(self) -> None:
        self._attempts = _first_attempt()
        self._log_ins = _first_attempt()
        self._started_s = -math.inf

    def started(self, now_s: float) -> None:
        """Begin an attempt."""
        self._started_s = now_s

    def pause_s(self, now_s: float, *, refused: bool = False) -> float:
        """Seconds to wait before the next attempt; ``refused`` is user or password."""
        if refused:
            pause_s = LOG_IN_AGAIN(self._log_ins)
            self._log_ins.prepare_for_next_attempt()
            return pause_s
        self._log_ins = _first_attempt()
        lasted_s = now_s - self._started_s
        if lasted_s >= _STEADY_S:
            self._attempts = _first_attempt()
        pause_s = max(0.0, REOPEN_CAMERA(self._attempts) - lasted_s)
        self._attempts.prepare_for_next_attempt()
        return pause_s


def _first_attempt() -> RetryCallState:
    return RetryCallState(Retrying(), None, (), {})
