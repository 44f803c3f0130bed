"""What `make bench` says of a bar: kept, missed, or that it cannot be told."""

import math

import pytest

from tests.benchmarks.bench import Turns, interval, judged, told


def test_the_interval_is_that_of_ranks() -> None:
    """Of twenty values the sixth and the fifteenth hold the median in 95 of 100 cases; five values tell nothing."""
    assert interval([float(value) for value in reversed(range(1, 21))]) == (6, 15)
    assert interval([3.0, 1.0, 2.0, 5.0, 6.0, 4.0]) == (1, 6)
    assert interval([1.0] * 5) == (-math.inf, math.inf)


@pytest.mark.parametrize(
    ("low", "high", "word"), [(0.97, 0.99, "kept"), (0.9, 0.96, "MISSED"), (0.9, 0.97, "cannot be told")]
)
def test_a_bar_within_the_interval_cannot_be_told(low: float, high: float, word: str) -> None:
    """At least 0.97 is kept only by what lies above it as a whole, and at most 1.0 by what lies below."""
    assert told("default_over_one_request", low, high) == word
    mirrored = {"kept": "MISSED", "MISSED": "kept"}.get(word, word)
    assert told("overhead_cpu_ms", low + 0.031, high + 0.031) == mirrored


def test_disturbed_rounds_tell_of_no_ratio() -> None:
    """On a busy machine there is a median, and no interval that a bar could be kept by."""
    turns = Turns(ratios=[1.2] * 20, quiet=[True] * 5 + [False] * 15)
    assert turns.told() == [1.2] * 5
    assert judged("default_over_one_request", turns.ratios, turns.told()) == {"default_over_one_request": 1.2}
