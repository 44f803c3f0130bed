"""Whether the runs of a study tell two of its rows apart: who chooses a row and who reports on it find the same.

A machine drifts, and what else runs on it comes and goes. Rows are measured in rounds, one run of each after the other,
so that two runs of a round had the same machine: their ratio knows nothing of what changed between rounds.
"""

import functools
import math
from collections.abc import Callable
from typing import Final

from agent.wire.study import Row, Run

CONFIDENCE: Final = 0.95
CERTAIN: Final = 0.999
"""Of naming one row before another: a study compares many."""
LEAST: Final = 0.03
"""A smaller difference is none: another day brings the other sign."""
ROUNDS_MIN: Final = 3

Figure = Callable[[Run], float]


def fps(run: Run) -> float:
    """Frames a second."""
    return run.fps


def latency_ms(run: Run) -> float:
    """Of inference, in the mean."""
    return run.latency_ms_mean


def told_apart(one: Row, other: Row, figure: Figure = fps) -> bool:
    """Whether a figure of two rows differs by more than chance and drift explain."""
    return difference(one, other, figure) != 0


def difference(one: Row, other: Row, figure: Figure = fps) -> float:
    """The logarithm of one row's figure over another's; 0 where chance and drift explain it.

    Compared are the rounds in which both had a quiet run; with fewer than three nothing is told.
    """
    mine, its = _quiet(one, figure), _quiet(other, figure)
    ratios = [math.log(mine[each] / its[each]) for each in mine.keys() & its.keys()]
    if len(ratios) < ROUNDS_MIN:
        return 0.0
    mean = math.fsum(ratios) / len(ratios)
    variance = math.fsum((ratio - mean) ** 2 for ratio in ratios) / (len(ratios) - 1)
    half = student_t(len(ratios) - 1, CERTAIN) * math.sqrt(variance / len(ratios))
    return mean if abs(mean) > max(half, math.log1p(LEAST)) else 0.0


def disturbed(row: Row) -> bool:
    """Whether a run counts that was not quiet: nothing may be claimed of the row."""
    return any(run.disturbed is not None for run in row.runs)


def _quiet(row: Row, figure: Figure) -> dict[int, float]:
    """The figure of the quiet runs, by their round; an older agent's are in the order of its own rows."""
    return {
        run.round or place: value
        for place, run in enumerate(row.runs, 1)
        if run.disturbed is None and (value := figure(run)) > 0
    }


@functools.cache
def student_t(freedom: int, confidence: float = CONFIDENCE) -> float:
    """The t that a Student-distributed value stays within, on both sides of 0, with a probability of ``confidence``.

    ``freedom``, 1 or more, counts the degrees of freedom. For whole numbers the distribution is a finite sum of powers
    of a cosine (Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4), inverted by bisection.
    """
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < confidence else (low, middle)
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
