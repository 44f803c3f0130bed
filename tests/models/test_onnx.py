"""ONNX graphs: cut where the card says, and free of the size they were exported at."""

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops

from agent.errors import ModelError
from models.getting import onnx
from models.shelf import catalogue
from models.shelf.catalogue import NetworkCard

SIDE = 32


def focused(order: tuple[int, ...] = (0, 5, 3, 1, 2, 4)) -> ov.Model:
    """A focus as exporters write it, with the sides of one picture, then the mean of each cell."""
    picture = ops.parameter([1, 3, SIDE, SIDE], np.float32, name="input")
    picture.output(0).get_tensor().set_names({"input"})
    half = SIDE // 2
    squares = ops.reshape(picture, ops.constant(np.array([1, 3, half, 2, -1, 2])), special_zero=False)
    spread = ops.transpose(squares, ops.constant(np.array(order)))
    joined = ops.reshape(spread, ops.constant(np.array([1, 12, half, half])), special_zero=False)
    doubled = ops.multiply(joined, ops.constant(np.float32(2)))
    doubled.output(0).get_tensor().set_names({"cut here"})
    return ov.Model([ops.result(ops.relu(doubled))], [picture])


def card(cut: str = "cut here") -> NetworkCard:
    found = catalogue.network("yolox-tiny")
    head = found.decoder.heads["boxes"].model_copy(update={"channels": 12, "axis": 1})
    decoder = found.decoder.model_copy(update={"heads": {"boxes": head}})
    return found.model_copy(
        update={"decoder": decoder, "conversion": found.conversion.model_copy(update={"cut": {"boxes": cut}})}
    )


def loaded(model: ov.Model, cut: str = "cut here") -> ov.Model:
    wanted = card(cut)
    assert isinstance(wanted.conversion, catalogue.OnnxConversion)
    return onnx.load(wanted, wanted.conversion, model)


@pytest.mark.parametrize("order", [(0, 5, 3, 1, 2, 4), (0, 3, 5, 1, 2, 4), (0, 1, 5, 3, 2, 4)])
def test_focus_takes_any_size_and_computes_the_same(order: tuple[int, ...]) -> None:
    """At the size of the export nothing changes, bit for bit; at another one each cell still holds its own square."""
    core = ov.Core()
    picture = np.random.default_rng(3).random((1, 3, SIDE, SIDE), np.float32)
    expected = core.compile_model(focused(order), "CPU")(picture)[0]
    network = loaded(focused(order))
    np.testing.assert_array_equal(core.compile_model(network, "CPU")(picture)["boxes"], expected)
    network.reshape([1, 3, SIDE, 2 * SIDE])
    wide = core.compile_model(network, "CPU")(np.concatenate((picture, picture), axis=3))["boxes"]
    np.testing.assert_array_equal(wide, np.concatenate((expected, expected), axis=3))


def test_a_cut_that_is_not_there_is_named() -> None:
    """A card that cuts at a tensor the graph lacks is told so."""
    with pytest.raises(ModelError, match="yolox-tiny has no tensor nowhere"):
        loaded(focused(), "nowhere")
