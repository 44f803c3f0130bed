"""When a device is taken to answer late, and when never."""

from hypothesis import given
from hypothesis import strategies as st

from agent.service.hang import Answering, Hang

TIMEOUT_S = 8.0


def looks(hang: Hang, begun: int, finished: int, since_s: float, until_s: float) -> list[Answering]:
    """Look every second after ``since_s`` until a moment."""
    return [hang.look(begun, finished, float(now_s)) for now_s in range(int(since_s) + 1, int(until_s) + 1)]


def test_an_answer_that_does_not_come() -> None:
    """Late at half of the time, never at all of it; another frame on the device is no answer."""
    hang = Hang(TIMEOUT_S)
    assert hang.look(5, 5, 0.0) is Answering.YES
    assert set(looks(hang, 6, 5, 0, 3)) == {Answering.YES}
    assert set(looks(hang, 7, 5, 3, 7)) == {Answering.LATE}
    assert looks(hang, 7, 5, 7, 8) == [Answering.NEVER]


def test_a_late_answer_is_one() -> None:
    """What comes late begins the time anew."""
    hang = Hang(TIMEOUT_S)
    hang.look(1, 1, 0.0)
    assert looks(hang, 3, 1, 0, 5)[-1] is Answering.LATE
    assert set(looks(hang, 3, 2, 5, 9)) == {Answering.YES}


def test_a_process_that_was_stopped_blames_no_device() -> None:
    """After a minute in which nobody looked, the device has its time."""
    hang = Hang(TIMEOUT_S)
    hang.look(1, 1, 0.0)
    assert hang.look(2, 1, 60.0) is Answering.YES


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.floats(0, 3)), max_size=60))
def test_who_owes_nothing_does_not_hang(looks: list[tuple[int, bool, float]]) -> None:
    """However frames come, all is well where each is answered within half of the time."""
    hang, begun, finished, now_s, since_s = Hang(TIMEOUT_S), 0, 0, 0.0, 0.0
    for frames, answers, wait_s in looks:
        now_s += wait_s
        begun += frames
        if answers or now_s - since_s >= TIMEOUT_S / 2:
            finished = begun
        if finished == begun:
            since_s = now_s
        assert hang.look(begun, finished, now_s) is Answering.YES
