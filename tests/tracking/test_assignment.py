"""The pairing of rows and columns."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from agent.tracking.assignment import assign

Floats = NDArray[np.float32]

LEVELS = st.sampled_from([0.0, 0.0, 0.25, 0.5, 0.5, 1.0])
"""Few levels make ties, and zeros make people nobody is like."""


def matrices(side: int) -> st.SearchStrategy[Floats]:
    shapes = array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=side)
    values = LEVELS | st.floats(0, 1, width=32)
    return shapes.flatmap(lambda shape: arrays(np.float32, shape, elements=values))


def brute_force(similarity: Floats) -> float:
    """The best total over every way to pair, nobody included."""
    rows, columns = similarity.shape
    padded = np.pad(similarity, ((0, 0), (0, rows)))
    orders = itertools.permutations(range(rows + columns), rows)
    return max((float(padded[range(rows), order].sum()) for order in orders), default=0.0)


@given(matrices(4))
def test_no_pairing_is_better(similarity: Floats) -> None:
    """The total is the greatest there is, each row and column is used once, and zero pairs nobody."""
    rows, columns = assign(similarity)
    assert len(set(rows.tolist())) == len(rows)
    assert len(set(columns.tolist())) == len(columns)
    assert (similarity[rows, columns] > 0).all()
    assert float(similarity[rows, columns].sum()) == pytest.approx(brute_force(similarity), abs=1e-5)


@given(matrices(30))
def test_no_exchange_improves_a_crowd(similarity: Floats) -> None:
    """With up to thirty people no chain of exchanges, which would be a negative cycle, gives a greater total."""
    rows, columns = assign(similarity)
    count = similarity.shape[0]
    padded = np.pad(similarity.astype(np.float64), ((0, 0), (0, count)))
    taken = np.arange(count) + similarity.shape[1]
    taken[rows] = columns
    gain = padded[:, taken] - padded[np.arange(count), taken][:, None]  # of row r taking the place of row s
    for _ in range(max(count - 1, 0).bit_length() + 1):  # the best of longer and longer chains, doubled each time
        gain = np.maximum(gain, (gain[:, :, None] + gain[None]).max(axis=1)) if count else gain
    assert np.diagonal(gain).max(initial=0.0) <= 1e-4
    free = np.setdiff1d(np.arange(padded.shape[1]), taken)
    to_free = padded[:, free] - padded[np.arange(count), taken][:, None]
    assert (gain[:, :, None] + to_free[None]).max(initial=0.0) <= 1e-4
    assert to_free.max(initial=0.0) <= 1e-4
