"""How an engine is judged against its camera."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.control.works import judge
from agent.errors import TooSlowError
from agent.wire.commands import KEEPS_UP

RATES = st.floats(0.1, 1000)


@given(RATES, st.floats(0.3, 60))
@example(4.465422614870234, 4.465422614870234)
def test_who_finishes_every_frame_keeps_up(camera_fps: float, took_s: float) -> None:
    """One frame more or less is chance, however short the measurement."""
    assert judge(max(0.0, camera_fps - 1 / took_s), camera_fps, took_s, 1.0).verdict == KEEPS_UP


@given(RATES, st.floats(0, 0.5), st.floats(10, 60))
def test_who_finishes_less_than_half_falls_behind(camera_fps: float, share: float, took_s: float) -> None:
    """Both rates are told; and where the configuration wants more, it is an error that says what it wants."""
    camera_fps = max(camera_fps, 1.0)
    verdict = judge(share * camera_fps, camera_fps, took_s, None).verdict
    assert verdict is not None
    assert verdict.startswith(f"falls behind: {share * camera_fps:.1f} of ")
    with pytest.raises(TooSlowError, match=r"switch\.min_fps_ratio = 0\.8"):
        judge(share * camera_fps, camera_fps, took_s, 0.8)


def test_no_result_at_all_is_the_slowest() -> None:
    """Frames came and none was finished."""
    assert judge(None, 10.0, 5.0, None).verdict == "falls behind: 0.0 of 10 fps"


def test_without_a_camera_there_is_no_verdict() -> None:
    """A dark camera, or a file that waits for its reader, is nothing to keep up with."""
    assert judge(3.0, None, 5.0, 0.9).verdict is None
