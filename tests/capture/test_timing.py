"""Pacing, capping, draining and backing off, on paper: the time is an argument."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.capture.timing import Backlog, Backoff, FrameRateCap, Pacer


def test_pacer_keeps_the_rate_in_spite_of_jitter() -> None:
    """A frame taken late does not delay the ones after it."""
    pacer = Pacer()
    pacer.advance(0.0, 0.0)
    pacer.advance(0.1, 0.14)
    assert math.isclose(pacer.due_in_s(0.2, 0.14), 0.06)


def test_pacer_does_not_make_up_for_a_pause() -> None:
    """After a pause of seconds the file goes on at its own rate, not faster."""
    pacer = Pacer()
    pacer.advance(0.0, 0.0)
    pacer.advance(0.1, 5.0)
    assert math.isclose(pacer.due_in_s(0.2, 5.0), 0.1)


def test_pacer_follows_the_time_stamps() -> None:
    """Pictures that are not evenly apart are due as far apart as they were taken."""
    pacer, positions = Pacer(), (0.0, 0.02, 3.0, 3.5)
    pacer.advance(0.0, 10.0)
    due = [10.0]
    for position_s in positions[1:]:
        now_s = due[-1] + pacer.due_in_s(position_s, due[-1])
        pacer.advance(position_s, now_s)
        due.append(now_s)
    assert np.allclose(np.subtract(due, 10.0), positions)


def test_no_cap_admits_all() -> None:
    """Without a cap every frame is wanted, even two of the same moment."""
    cap = FrameRateCap(None)
    assert all(cap.admits(at_s) for at_s in (0.0, 0.0, 0.001))


def test_cap_spreads_evenly() -> None:
    """Of 30 frames a second, a cap of 10 takes every third."""
    cap = FrameRateCap(10)
    assert [n for n in range(12) if cap.admits(n / 30)] == [0, 3, 6, 9]


@given(st.lists(st.floats(0.001, 0.3), min_size=20, max_size=200), st.floats(0.5, 60))
def test_cap_holds_in_the_long_run(intervals: list[float], fps_max: float) -> None:
    """Whatever the camera's rhythm, no more frames pass than the cap allows, but for the two at the ends."""
    cap = FrameRateCap(fps_max)
    now_s, admitted = 0.0, 0
    for interval in intervals:
        now_s += interval
        admitted += cap.admits(now_s)
    assert admitted <= sum(intervals) * fps_max + 2


def test_camera_at_the_rate_of_the_cap_loses_none() -> None:
    """A camera that jitters around the cap is not halved."""
    cap = FrameRateCap(10)
    assert all(cap.admits(n * 0.1 + (0.02 if n % 2 else 0.0)) for n in range(20))


def test_backlog_at_the_start_is_drained() -> None:
    """What FFmpeg buffered while probing is skipped; the first frame that had to be waited for is fresh."""
    backlog = Backlog(0.04, now_s=0.0)
    assert [backlog.is_stale(0.50, 0.0001), backlog.is_stale(0.51, 0.0001), backlog.is_stale(0.55, 0.04)] == [
        True,
        True,
        False,
    ]


def test_backlog_after_a_silence_is_drained() -> None:
    """What comes in a burst after a silence is skipped, up to the first frame that had to be waited for."""
    backlog = Backlog(0.1, now_s=0.0)
    assert not any(backlog.is_stale(0.1 * n, 0.1) for n in range(1, 10))
    burst = [backlog.is_stale(2.4, 1.5), backlog.is_stale(2.401, 0.001), backlog.is_stale(2.402, 0.001)]
    assert [*burst, backlog.is_stale(2.5, 0.098), backlog.is_stale(2.6, 0.1)] == [True, True, True, False, False]


def test_thread_that_slept_drains_too() -> None:
    """A silence of our own making, in which the pipe filled up, counts as one: its frames needed no waiting."""
    backlog = Backlog(0.1, now_s=0.0)
    assert not backlog.is_stale(0.1, 0.1)
    assert backlog.is_stale(1.7, 0.0001)


def test_slow_camera_is_no_backlog() -> None:
    """A camera of one frame a second that claims 25 is soon taken as it is."""
    backlog = Backlog(0.04, now_s=0.0)
    stale = [backlog.is_stale(float(second), 1.0) for second in range(1, 30)]
    assert sum(stale) <= 4
    assert not any(stale[10:])


def test_camera_faster_than_it_says_is_heard() -> None:
    """A camera never waited for long enough is believed after a second."""
    backlog = Backlog(0.1, now_s=0.0)
    stale = [backlog.is_stale(n / 100, 0.01) for n in range(1, 300)]
    assert not any(stale[110:])


def test_backoff_grows_and_stays_bounded() -> None:
    """Attempts that fail at once are spread out, but a camera that is back is never left waiting for over 3 s."""
    pauses = []
    for _ in range(20):
        backoff = Backoff()
        for attempt in range(10):
            backoff.started(attempt * 100.0)
            pauses.append((attempt, backoff.pause_s(attempt * 100.0)))
    assert all(pause <= 0.25 for attempt, pause in pauses if attempt == 0)
    assert 1.0 < max(pause for _, pause in pauses) <= 3.0


def test_long_attempt_is_pause_enough() -> None:
    """After an attempt that took as long as the longest pause, the next one starts at once."""
    backoff = Backoff()
    for _ in range(8):
        backoff.pause_s(0.0)
    backoff.started(0.0)
    assert backoff.pause_s(3.0) == 0.0


def test_connection_that_held_starts_anew() -> None:
    """A camera lost after minutes of good service is opened again within the first, shortest pause."""
    for _ in range(20):
        backoff = Backoff()
        for _ in range(8):
            backoff.started(0.0)
            backoff.pause_s(0.0)
        backoff.started(0.0)
        backoff.pause_s(300.0)
        backoff.started(300.0)
        assert backoff.pause_s(300.0) <= 0.5
