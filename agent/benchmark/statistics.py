"""From runs to figures: which runs count, spread, confidence interval, percentiles."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from agent.observe.telemetry import PARTS, STAGES, Timing
from agent.wire.apart import student_t
from agent.wire.study import Run, Spread

QUIET_MIN = 3
EXTRA_SHARE = 0.5
"""At most so many runs more than were asked for, as a share of them: a busy box comes to an end too."""


def spread(values: Sequence[float], drifted: float = 0.0) -> Spread:
    """Mean, extremes, sample standard deviation and the 95 % interval of the mean, of at least one value.

    The interval is Student's t: of runs that are independent and normally distributed about a mean, 95 % of such
    intervals contain it. It is wider by twice the share of the mean by which the machine ``drifted`` meanwhile. A
    single value has neither deviation nor interval.
    """
    count, mean = len(values), math.fsum(values) / len(values)
    # Rounding can put the mean of equal values beside them.
    mean = min(max(mean, min(values)), max(values))
    if count == 1:
        return Spread(mean=mean, min=mean, max=mean, deviation=None, interval=None)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    half = math.hypot(student_t(count - 1) * deviation / math.sqrt(count), 2 * drifted * mean)
    return Spread(mean=mean, min=min(values), max=max(values), deviation=deviation, interval=(mean - half, mean + half))


def drift(values: Sequence[float]) -> float:
    """How far a machine drifted under the runs of one row, as a share of their mean; at least two, in their order.

    The part of their deviation that neighbours do not have (von Neumann's ratio): of runs that only scatter, none.
    """
    count, mean = len(values), math.fsum(values) / len(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    steps = math.fsum((after - before) ** 2 for before, after in pairwise(values)) / (2 * (count - 1))
    return math.sqrt(max(0.0, variance - steps)) / mean


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
    """Places of the runs that count: the quiet ones, be they half of those that were wanted, and at least three.

    Where there are fewer, of the disturbed as many of the first as are missing.
    """
    quiet = [place for place, run in enumerate(done) if run.disturbed is None]
    if len(quiet) >= min(wanted, max(QUIET_MIN, wanted // 2)):
        return tuple(quiet)
    disturbed = [place for place, run in enumerate(done) if run.disturbed is not None]
    return tuple(sorted(quiet + disturbed[: wanted - len(quiet)]))
