"""Promises of the figures of a benchmark."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.benchmark.statistics import drift, latency_figures, percentiles, spread, stages_ms
from agent.observe.telemetry import STAGES, Timing, summarise
from agent.wire.apart import student_t

# Two-sided, 95 %: Abramowitz and Stegun, Handbook of Mathematical Functions, table 26.10.
TABLE = {
    1: 12.706,
    2: 4.303,
    3: 3.182,
    4: 2.776,
    5: 2.571,
    9: 2.262,
    10: 2.228,
    19: 2.093,
    30: 2.042,
    60: 2.0,
    120: 1.98,
}
FIGURES = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30)


@pytest.mark.parametrize(("freedom", "known"), TABLE.items())
def test_quantiles_are_those_of_the_table(freedom: int, known: float) -> None:
    """Student's t is right to the three decimals that are printed."""
    assert student_t(freedom) == pytest.approx(known, abs=5.01e-4)


def test_quantiles_fall_towards_the_normal_distribution() -> None:
    """More runs never make an interval wider, and many come to the normal distribution's 1.96."""
    quantiles = [student_t(freedom) for freedom in range(1, 100)]
    assert quantiles == sorted(quantiles, reverse=True)
    assert student_t(5000) == pytest.approx(statistics.NormalDist().inv_cdf(0.975), abs=1e-3)


@given(FIGURES)
def test_spread_is_what_its_names_say(values: list[float]) -> None:
    """Extremes, mean and sample deviation are the standard library's, and the interval lies evenly about the mean."""
    found = spread(values)
    assert (found.min, found.max) == (min(values), max(values))
    assert found.min <= found.mean <= found.max
    assert found.mean == pytest.approx(statistics.fmean(values), rel=1e-9, abs=1e-9)
    assert found.deviation == pytest.approx(statistics.stdev(values), rel=1e-6, abs=1e-6)
    assert found.interval is not None
    low, high = found.interval
    assert low <= found.mean <= high
    assert high - found.mean == pytest.approx(found.mean - low, rel=1e-6, abs=1e-6)


def test_drift_is_what_neighbours_do_not_have() -> None:
    """Runs that only scatter have hardly any; runs that climb have, and their interval is wider by twice as much."""
    chance = np.random.default_rng(4)
    level = 100 + chance.normal(0, 1, 200)
    climbing = level + np.linspace(-10, 10, 200)
    assert drift(level.tolist()) < 0.005
    assert drift(climbing.tolist()) == pytest.approx(0.1 / math.sqrt(3), rel=0.1)
    assert drift([5.0, 5.0, 5.0]) == 0
    plain, wide = spread([99.0, 100.0, 101.0]), spread([99.0, 100.0, 101.0], 0.05)
    assert plain.interval is not None
    assert wide.interval is not None
    assert (wide.interval[1] - 100) ** 2 == pytest.approx((plain.interval[1] - 100) ** 2 + 10**2)
    assert wide.deviation == plain.deviation


def test_interval_of_a_known_sample() -> None:
    """The interval of Student's own sleep data, 1.58 with a deviation of 1.23 over ten patients, is 0.70 to 2.46."""
    found = spread([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
    assert found.mean == pytest.approx(1.58)
    assert found.interval == pytest.approx((0.700, 2.460), abs=5e-4)


def test_one_run_has_no_interval() -> None:
    """Of a single run nobody can say how far it is from the next."""
    found = spread([7.5])
    assert (found.mean, found.min, found.max) == (7.5, 7.5, 7.5)
    assert (found.deviation, found.interval) == (None, None)


@pytest.mark.parametrize("runs", [3, 10])
def test_intervals_are_honest(runs: int) -> None:
    """Of many samples around a known mean, 95 % of the intervals contain it, of few runs as of more."""
    random = np.random.default_rng(runs)
    inside = 0
    for sample in random.normal(50.0, 4.0, (4000, runs)):
        interval = spread(sample.tolist()).interval
        assert interval is not None
        inside += interval[0] <= 50.0 <= interval[1]
    assert inside / 4000 == pytest.approx(0.95, abs=0.015)


def timing(number: float) -> Timing:
    return Timing(
        capture_ms=number,
        prepare_ms=number * 2,
        infer_ms=number * 3,
        decode_ms=number * 4,
        track_ms=number * 5,
        publish_ms=number * 6,
        age_ms=number * 7,
        finished_s=number,
        persons=1,
    )


@given(st.lists(st.floats(0.01, 1e4), min_size=1, max_size=50))
def test_latency_is_counted_as_live_metrics_count_it(numbers: list[float]) -> None:
    """A run and the metrics of the running agent mean the same by latency, percentiles and stages."""
    timings = [timing(number) for number in numbers]
    live = summarise(timings, since=0.0, now=1.0).figures
    figures = latency_figures([timing.infer_ms for timing in timings])
    assert figures == {name: live[name] for name in figures}
    assert stages_ms(timings) == {stage: live[f"stage_{stage}_ms_mean"] for stage in STAGES}


def test_percentiles_are_in_order() -> None:
    """Of 0 to 100 the percentiles are their own numbers."""
    assert percentiles([float(number) for number in range(101)]) == (50, 95, 99)
    assert not any(math.isnan(value) for value in percentiles([3.0]))
