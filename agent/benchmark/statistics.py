"""From runs to figures: which runs count, spread, confidence interval, percentiles."""

import functools
import math
from collections.abc import Sequence

import numpy as np

from agent.observe.telemetry import PARTS, STAGES, Timing
from agent.wire.study import Run, Spread

CONFIDENCE = 0.95
EXTRA_SHARE = 0.5
"""At most so many runs more than were asked for, as a share of them: a busy box comes to an end too."""


def spread(values: Sequence[float]) -> Spread:
    """Mean, extremes, sample standard deviation and the 95 % interval of the mean, of at least one value.

    The interval is Student's t: of runs that are independent and normally distributed about a mean, 95 % of such
    intervals contain it. A single value has neither deviation nor interval.
    """
    count, mean = len(values), math.fsum(values) / len(values)
    # Rounding can put the mean of equal values beside them.
    mean = min(max(mean, min(values)), max(values))
    if count == 1:
        return Spread(mean=mean, min=mean, max=mean, deviation=None, interval=None)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    half = student_t(count - 1) * deviation / math.sqrt(count)
    return Spread(mean=mean, min=min(values), max=max(values), deviation=deviation, interval=(mean - half, mean + half))


@functools.cache
def student_t(freedom: int) -> float:
    """The t that a Student-distributed value stays within, on both sides of 0, with a probability of 95 %.

    ``freedom``, 1 or more, counts the degrees of freedom. For whole numbers the distribution is a finite sum of powers
    of a cosine (Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4), inverted by bisection.
    """
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < CONFIDENCE else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def _within(angle: float, freedom: int) -> float:
    """Probability that a Student-distributed value is less than sqrt(freedom) tan(angle) from 0."""
    odd = freedom % 2
    term = math.cos(angle) if odd else 1.0
    terms = []
    for step in range(1 + odd, freedom, 2):
        terms.append(term)
        term *= math.cos(angle) ** 2 * step / (step + 1)
    total = math.sin(angle) * math.fsum(terms)
    return (angle + total) * 2 / math.pi if odd else total


def latency_figures(latencies_ms: Sequence[float]) -> dict[str, float]:
    """Figures of the inference latency of some frames, by their names in a run: mean, min, max and percentiles."""
    p50, p95, p99 = percentiles(latencies_ms)
    return {
        "latency_ms_mean": float(np.mean(latencies_ms)),
        "latency_ms_min": float(np.min(latencies_ms)),
        "latency_ms_max": float(np.max(latencies_ms)),
        "latency_ms_p50": p50,
        "latency_ms_p95": p95,
        "latency_ms_p99": p99,
    }


def percentiles(values: Sequence[float]) -> tuple[float, float, float]:
    """p50, p95 and p99, linearly interpolated, of at least one value."""
    p50, p95, p99 = np.percentile(values, (50, 95, 99)).tolist()
    return p50, p95, p99


def stages_ms(timings: Sequence[Timing]) -> dict[str, float]:
    """Mean milliseconds of each stage, by its name; of the parts of inference where there are two."""
    known = {
        stage: [value for timing in timings if (value := getattr(timing, f"{stage}_ms")) is not None]
        for stage in (*STAGES, *PARTS)
    }
    return {stage: float(np.mean(values)) for stage, values in known.items() if values}


def another(done: Sequence[Run], wanted: int) -> bool:
    """Whether one more run is to be made, until ``wanted`` were quiet or too many were not."""
    quiet = sum(run.disturbed is None for run in done)
    return quiet < wanted and len(done) < wanted + max(1, int(wanted * EXTRA_SHARE))


def counted(done: Sequence[Run], wanted: int) -> tuple[int, ...]:
    """Places of the runs that count: the quiet ones, and of the disturbed as many of the first as are missing."""
    quiet = [place for place, run in enumerate(done) if run.disturbed is None]
    disturbed = [place for place, run in enumerate(done) if run.disturbed is not None]
    return tuple(sorted(quiet + disturbed[: wanted - len(quiet)]))
