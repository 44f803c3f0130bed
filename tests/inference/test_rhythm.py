"""How often a detector looks."""

import pytest

from agent.inference.rhythm import PERIOD, PERIOD_MAX, Rhythm

FRAME_S = 0.1


def play(rhythm: Rhythm, frames: int, *, busy: float, dropped: int = 0, live: bool = True) -> list[bool]:
    """Frames that keep the box busy for a share of each tenth of a second, with some dropped after each."""
    due = []
    for number in range(frames):
        now_s = number * FRAME_S
        due.append(rhythm.due(number * (1 + dropped), now_s, now_s))
        rhythm.done(now_s + FRAME_S * (busy if live else 1))
    return due


@pytest.mark.parametrize("period", [1, 3, 7])
def test_a_period_that_was_asked_for_is_kept(period: int) -> None:
    """The first frame is looked at, and every so many after it, whatever the box can do."""
    due = play(Rhythm(period), 60, busy=0.99, dropped=2)
    assert [number for number, looked in enumerate(due) if looked] == list(range(0, 60, period))


def test_a_box_with_time_looks_more_often() -> None:
    """Where most of the time is left, the detector comes to look at every frame."""
    rhythm = Rhythm(None)
    assert rhythm.period == PERIOD
    play(rhythm, 200, busy=0.3)
    assert rhythm.period == 1


def test_a_box_without_time_looks_less_often() -> None:
    """Where frames are dropped because there is no time, it looks less often, up to a bound."""
    rhythm = Rhythm(None)
    play(rhythm, 1000, busy=0.99, dropped=1)
    assert rhythm.period == PERIOD_MAX


def test_frames_dropped_on_purpose_are_no_haste() -> None:
    """A camera whose rate is capped drops frames while the box has time: that changes nothing."""
    rhythm = Rhythm(None)
    play(rhythm, 400, busy=0.3, dropped=2)
    assert rhythm.period == PERIOD


def test_who_is_lost_is_looked_for_at_once() -> None:
    """The next frame is looked at, once, and the period begins anew; a period that was asked for is kept."""
    for period, expected in ((None, [0, 2, 3, 5, 7, 9]), (PERIOD, [0, 2, 4, 6, 8, 10])):
        rhythm, due = Rhythm(period), []
        for number in range(11):
            if number == 3:
                rhythm.hurry()
            due.append(rhythm.due(number, number * FRAME_S, number * FRAME_S))
            rhythm.done((number + 1) * FRAME_S)
        assert [number for number, looked in enumerate(due) if looked] == expected


@pytest.mark.parametrize("period", [None, 7])
def test_a_frame_that_comes_late_is_looked_at(period: int | None) -> None:
    """Whatever the period: in the meantime people have gone elsewhere. It is the scene's clock that counts."""
    rhythm, scene_s = Rhythm(period, expected_s=1.5 * FRAME_S), 0.0
    due = []
    for number, step in enumerate((0, 1, 1, 2, 1, 2, 2)):
        scene_s += step * FRAME_S
        due.append(rhythm.due(number, number * 2 * FRAME_S, scene_s))
    expected = {None: [True, False, True, True, False, True, True], 7: [True, False, False, True, False, True, True]}
    assert due == expected[period]


def test_a_file_that_waits_for_its_reader_keeps_the_period() -> None:
    """Nothing is dropped and the next frame is always there: what is measured on such a file stays comparable."""
    rhythm = Rhythm(None)
    play(rhythm, 400, busy=1, live=False)
    assert rhythm.period == PERIOD
