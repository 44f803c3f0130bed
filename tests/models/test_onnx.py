"""ONNX graphs: cut where the card says, and free of the size they were exported at."""

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops

from agent.errors import ModelError
from agent.inference.letterbox import Letterbox
from agent.poses.decoders import decoder_for
from agent.poses.skeleton import Poses
from models.getting import onnx
from models.shelf import catalogue
from models.shelf.catalogue import NetworkCard
from tests.models.own_networks import SIZE, rtmo

SIDE = 32
GUESSES = 4
"""Of each person."""


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


def rtmo_card(likeliest: int) -> NetworkCard:
    found = catalogue.network("rtmo-s")
    assert isinstance(found.conversion, catalogue.OnnxConversion)
    return found.model_copy(update={"conversion": found.conversion.model_copy(update={"likeliest": likeliest})})


def decoded(card: NetworkCard, model: ov.Model) -> Poses:
    """Whom a network finds in a bright picture."""
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    results = compiled(np.full((1, 3, SIZE, SIZE), 255, np.float32))
    decoder = decoder_for(card, person_score_min=0.2, persons_max=20)
    letterbox = Letterbox.fit((0, 0, SIZE, SIZE), (SIZE, SIZE))
    return decoder.decode(tuple(results[card.decoder.outputs[role]] for role in decoder.roles), letterbox)


@pytest.mark.parametrize(("likeliest", "rows"), [(300, 3 * GUESSES), (8, 8)])
def test_the_likeliest_guesses_take_the_place_of_a_suppression(likeliest: int, rows: int) -> None:
    """The rows have a number before it runs, nothing chooses in the graph, and the same people are found."""
    card = rtmo_card(likeliest)
    assert isinstance(card.conversion, catalogue.OnnxConversion)
    wanted = decoded(card, rtmo(GUESSES))
    assert len(wanted) == 3
    network = onnx.load(card, card.conversion, rtmo(GUESSES))
    assert [list(output.get_shape()) for output in network.outputs] == [[1, rows, 5], [1, rows, 17, 3]]
    assert "NonMaxSuppression" not in {op.get_type_name() for op in network.get_ops()}
    found = decoded(card, network)
    np.testing.assert_array_equal(found.scores, wanted.scores)
    np.testing.assert_array_equal(found.keypoints, wanted.keypoints)


def test_a_graph_without_suppression_is_told_from_the_card() -> None:
    """A card that replaces a choice which the graph does not make is told so."""
    card = rtmo_card(300)
    assert isinstance(card.conversion, catalogue.OnnxConversion)
    with pytest.raises(ModelError, match="rtmo-s has 0 non-maximum suppressions"):
        onnx.load(card, card.conversion, focused())
