"""What ``models inspect`` counts."""

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops

from agent.errors import ModelError
from models.shelf import catalogue
from models.shelf.inspect import inspect, multiply_accumulates, parameters
from models.shelf.store import Store

CARD = catalogue.network("movenet-multipose")


def test_arithmetic_of_a_network_counted_by_hand() -> None:
    """Convolutions, grouped ones and matrix products are counted, weights and biases are parameters, shapes are not."""
    data = ops.parameter([1, 4, 10, 10], np.float32)
    plain = ops.convolution(data, np.ones((6, 4, 3, 3), np.float32), [2, 2], [1, 1], [1, 1], [1, 1])
    grouped = ops.group_convolution(
        ops.add(plain, np.ones((1, 6, 1, 1), np.float32)),
        np.ones((3, 2, 2, 3, 3), np.float32), [1, 1], [1, 1], [1, 1], [1, 1],
    )  # fmt: skip
    flat = ops.reshape(grouped, np.array([1, 150], np.int64), special_zero=False)
    product = ops.matmul(flat, np.ones((150, 7), np.float32), transpose_a=False, transpose_b=False)
    model = ov.Model([product], [data], "by-hand")
    assert multiply_accumulates(model) == 6 * 25 * 4 * 9 + 6 * 25 * 2 * 9 + 7 * 150
    assert parameters(model) == 6 * 4 * 9 + 6 + 3 * 2 * 2 * 9 + 150 * 7


def test_default_network(store: Store) -> None:
    """The default network is described at its card's size, with sizes and precisions as installed."""
    summary = inspect(CARD, store)
    assert (summary.height, summary.width) == (256, 256)
    assert [tensor.name for tensor in summary.inputs] == ["input"]
    assert {tensor.name for tensor in summary.outputs} == set(CARD.decoder.heads)
    assert 1.8 < summary.gflops < 2.0
    assert 4.6e6 < summary.parameters < 4.8e6
    assert [variant.precision for variant in summary.variants][:2] == ["FP32", "FP16"]
    assert summary.variants[0].bytes > 1.8 * summary.variants[1].bytes


def test_arithmetic_grows_with_the_picture(store: Store) -> None:
    """A purely convolutional network costs exactly twice as much on twice the pixels."""
    assert inspect(CARD, store, 256, 512).gflops == pytest.approx(2 * inspect(CARD, store).gflops, rel=1e-9)


@pytest.mark.parametrize(("height", "width"), [(250, 256), (256, 16)])
def test_impossible_size_is_refused(height: int, width: int, store: Store) -> None:
    """A size that is no multiple of the stride is refused with the stride."""
    with pytest.raises(ModelError, match="multiples of 32"):
        inspect(CARD, store, height, width)


def test_what_has_no_size_before_it_runs_counts_nothing() -> None:
    """Behind a selection of people rows have no number: a matrix product there is no error, and the rest is counted."""
    data = ops.parameter([1, 3, 8, 8], np.float32)
    plain = ops.convolution(data, np.ones((2, 3, 1, 1), np.float32), [1, 1], [0, 0], [0, 0], [1, 1])
    rows = ops.reshape(plain, np.array([-1, 4], np.int64), special_zero=False)
    kept = ops.non_zero(ops.greater(ops.reduce_mean(rows, np.array([1]), keep_dims=False), np.float32(0)))
    chosen = ops.gather(rows, ops.squeeze(kept, np.array([0])), np.int64(0))
    product = ops.matmul(chosen, np.ones((4, 7), np.float32), transpose_a=False, transpose_b=False)
    assert multiply_accumulates(ov.Model([product], [data], "selects")) == 2 * 3 * 64
