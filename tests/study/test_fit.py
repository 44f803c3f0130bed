"""Promises of the choice of an input size: the largest that holds, and none that does not."""

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.benchmark.fit import Again, Look, holds, largest
from agent.capture.frame import Frame

FPS = st.floats(0.1, 200)
AGE_MS = st.floats(1, 2000)
LOOKS = st.lists(
    st.builds(Look, st.sampled_from([256, 320, 384, 512, 640]), FPS, st.none() | AGE_MS),
    unique_by=lambda look: look.long_side,
)


@given(LOOKS, FPS, AGE_MS)
def test_the_largest_that_holds(looks: list[Look], camera_fps: float, age_ms_max: float) -> None:
    """The chosen one makes the camera's frames within the age, and every larger one fails at one of both."""
    chosen = largest(looks, camera_fps, age_ms_max)
    if chosen is not None:
        assert chosen.fps > camera_fps
        assert chosen.age_ms is not None
        assert chosen.age_ms <= age_ms_max
    for look in looks:
        if chosen is None or look.long_side > chosen.long_side:
            late = look.age_ms is None or look.age_ms > age_ms_max
            assert late or 0.9 * look.fps < camera_fps


def test_a_tenth_is_to_spare() -> None:
    """What was measured for seconds has to last; the age is what it is."""
    assert holds(Look(256, 11.2, 150.0), 10.0, 150.0)
    assert not holds(Look(256, 11.0, 20.0), 10.0, 150.0)
    assert not holds(Look(256, 30.0, 150.1), 10.0, 150.0)
    assert not holds(Look(256, 30.0, None), 10.0, 150.0)


def frames() -> Iterator[Frame]:
    for value in range(3):
        picture = np.full((8, 8, 3), value, np.uint8)
        yield Frame(picture, 7, datetime.now(UTC), 1.0, 2.0, media_s=5.0)


def test_frames_come_again() -> None:
    """In turn and without end, each with a number and a moment of its own; a pace drops what nobody read in time."""
    again = Again(tuple(frames()))
    seen = [again.read(1.0) for _ in range(7)]
    assert [int(frame.image[0, 0, 0]) for frame in seen if frame] == [0, 1, 2, 0, 1, 2, 0]
    assert [frame.seq for frame in seen if frame] == list(range(1, 8))
    assert all(frame.media_s is None and frame.captured_s > 1.0 for frame in seen if frame)
    slow = Again(tuple(frames()), 3600.0)
    assert slow.read(1.0) is not None
    assert slow.read(0.0) is None, "the next is due in an hour"
    hurried = Again(tuple(frames()), 1e-9)
    hurried.read(1.0)
    assert hurried.read(1.0) is not None
    assert hurried.counts().dropped > 0
    assert hurried.counts().captured > hurried.counts().dropped
