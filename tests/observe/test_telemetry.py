"""Promises of the windows of timings."""

import gc
import sys
import threading
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.observe.telemetry import PARTS, RECENT_FRAMES, STAGES, Summary, Telemetry, Timing, summarise

SINCE = 1000.0
costs = st.floats(0, 1e5)
moments = st.floats(0, 9.999).map(lambda second: SINCE + second)
timings = st.builds(
    Timing,
    **{field.name: costs for field in fields(Timing) if field.name.endswith("_ms")},
    finished_s=moments,
    persons=st.integers(0, 40),
)


def timing(finished_s: float, persons: int = 0) -> Timing:
    return Timing(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, age_ms=21.0, finished_s=finished_s, persons=persons)


@given(st.lists(timings, min_size=1, max_size=60), st.floats(10, 12))
def test_figures_are_those_of_numpy(rows: list[Timing], window_s: float) -> None:
    """Means, extremes and percentiles of any window are what numpy gives for its frames."""
    summary = summarise(rows, SINCE, SINCE + window_s)
    figures = dict(summary.figures)

    expected: dict[str, float] = {"fps_mean": len(rows) / window_s}
    latency = [row.infer_ms for row in rows]
    expected |= {f"latency_ms_{kind}": float(getattr(np, kind)(latency)) for kind in ("mean", "min", "max")}
    for name, values in (("latency", latency), ("age", [row.age_ms for row in rows])):
        expected |= {f"{name}_ms_p{p}": float(np.percentile(values, p)) for p in (50, 95, 99)}
    for stage in (*STAGES, *PARTS):
        expected[f"stage_{stage}_ms_mean"] = float(np.mean([getattr(row, f"{stage}_ms") for row in rows]))
    per_second = [sum(SINCE + n <= row.finished_s < SINCE + n + 1 for row in rows) for n in range(int(window_s))]
    expected |= {"fps_min": min(per_second), "fps_max": max(per_second)}
    assert figures == pytest.approx(expected)
    assert summary.window_s == pytest.approx(window_s)
    assert summary.frames_processed == len(rows)
    assert summary.persons_mean == pytest.approx(np.mean([row.persons for row in rows]))
    assert summary.persons_max == max(row.persons for row in rows)


def test_a_window_without_frames_knows_nothing() -> None:
    """Nothing was measured is None in every figure, never 0; the keys are those of a full window."""
    empty = summarise([], SINCE, SINCE + 5)
    assert set(empty.figures) == set(summarise([timing(SINCE + 1)], SINCE, SINCE + 5).figures)
    assert set(empty.figures.values()) == {None}
    assert (empty.frames_processed, empty.persons_mean, empty.persons_max) == (0, None, None)


def test_parts_of_inference_are_of_the_frames_that_have_them() -> None:
    """One stage has no parts, which is None; around a switch the mean is of the frames with two."""
    one, two = timing(SINCE + 1), replace(timing(SINCE + 2), detect_ms=2.0, pose_ms=8.0)
    names = [f"stage_{part}_ms_mean" for part in PARTS]
    assert [summarise([one], SINCE, SINCE + 5).figures[name] for name in names] == [None, None]
    assert [summarise([one, two], SINCE, SINCE + 5).figures[name] for name in names] == [2.0, 8.0]


def test_frames_without_people_are_counted_as_such() -> None:
    """Nobody in view is 0 people, which is known, and not None."""
    summary = summarise([timing(SINCE + 1)], SINCE, SINCE + 5)
    assert (summary.persons_mean, summary.persons_max) == (0.0, 0)


def test_fps_range_is_over_whole_seconds() -> None:
    """Each whole second of the window counts its frames; the rest at its end, which would look slow, does not."""
    finished = [0.0, 0.5, 0.999, 1.0, 1.5, 2.1, 2.2, 2.9, 2.95, 3.0]  # the last lies in the rest of a 3.4 s window
    figures = summarise([timing(SINCE + second) for second in finished], SINCE, SINCE + 3.4).figures
    assert (figures["fps_min"], figures["fps_max"]) == (2.0, 4.0)
    assert figures["fps_mean"] == pytest.approx(10 / 3.4)


def test_fps_range_of_a_short_window_is_its_mean() -> None:
    """A window without a whole second has one rate."""
    figures = summarise([timing(SINCE + 0.1), timing(SINCE + 0.2)], SINCE, SINCE + 0.5).figures
    assert (figures["fps_min"], figures["fps_mean"], figures["fps_max"]) == (4.0, 4.0, 4.0)


def test_a_frame_that_finished_as_the_window_began_is_counted_in_its_first_second() -> None:
    """A frame finished before the window was opened but added after it belongs to this window in every figure."""
    figures = summarise([timing(SINCE - 1.2)], SINCE, SINCE + 1.5).figures
    assert (figures["fps_min"], figures["fps_max"]) == (1.0, 1.0)


def test_windows_follow_each_other_without_a_gap() -> None:
    """Each window begins where the one before it ended, and holds its own frames alone."""
    telemetry = Telemetry()
    telemetry.add(timing(0.0, persons=7))
    first = telemetry.take()
    second = telemetry.take()
    assert (first.frames_processed, first.persons_max) == (1, 7)
    assert (second.frames_processed, second.persons_max) == (0, None)
    assert telemetry.frames_total == 1


def test_nothing_is_lost_or_counted_twice_between_threads() -> None:
    """While one thread adds and another takes, every frame is in exactly one window."""
    telemetry, frames = Telemetry(), 20_000

    def add() -> None:
        for number in range(frames):
            telemetry.add(timing(0.0, persons=number))

    adding = threading.Thread(target=add)
    windows: list[Summary] = []
    adding.start()
    while adding.is_alive():
        windows.append(telemetry.take())
    adding.join()
    windows.append(telemetry.take())

    assert sum(window.frames_processed for window in windows) == telemetry.frames_total == frames
    numbers = sum((window.persons_mean or 0) * window.frames_processed for window in windows)
    assert numbers == pytest.approx(frames * (frames - 1) / 2)
    assert sum(window.frames_processed > 0 for window in windows) > 1, "the threads never met"


@settings(max_examples=30)
@given(st.lists(st.tuples(moments, costs), max_size=60), moments, moments)
def test_pace_is_that_of_the_frames_between(frames: list[tuple[float, float]], since: float, until: float) -> None:
    """Frames a second and the mean of inference, between two moments, however many came before them."""
    telemetry = Telemetry()
    for _ in range(RECENT_FRAMES - len(frames) // 2):  # what comes last begins where the first ones lay
        telemetry.add(timing(SINCE - 1))
    for finished_s, infer_ms in sorted(frames):
        telemetry.add(replace(timing(finished_s), infer_ms=infer_ms))
    between = [frame for frame in sorted(frames) if since <= frame[0] <= until]
    fps, mean_ms = telemetry.pace(since, until)
    if len(between) < 2:
        assert fps is None
        assert mean_ms is None
        return
    assert mean_ms == pytest.approx(np.mean([frame[1] for frame in between]))
    if between[-1][0] > between[0][0]:
        assert fps == pytest.approx((len(between) - 1) / (between[-1][0] - between[0][0]))


def test_what_is_kept_of_frames_does_not_grow() -> None:
    """A box holds after an hour what it holds after a second: nothing of it is to be taken for a leak."""
    telemetry = Telemetry()
    telemetry.add(timing(SINCE))
    telemetry.take()
    gc.collect()
    before = sys.getallocatedblocks()
    for number in range(1000):
        telemetry.add(timing(SINCE + number))
    telemetry.take()
    gc.collect()
    assert sys.getallocatedblocks() - before < 100
