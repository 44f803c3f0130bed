"""ONNX graphs as OpenVINO reads them: cut at the heads, named as the card names them, and free of one fixed size."""

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from agent.errors import ModelError
from models.shelf.catalogue import NetworkCard, OnnxConversion

BLOCK = 2
"""Pixels of each side that one cell of a focus gathers."""


def load(card: NetworkCard, conversion: OnnxConversion, model: ov.Model) -> ov.Model:
    """The network of ``card``, cut from ``model``. Raises ModelError for a tensor that is not there."""
    if conversion.cut:
        outputs = [_tensor(card, model, conversion.cut[role]) for role in card.decoder.heads]
        for role, output in zip(card.decoder.heads, outputs, strict=True):
            output.get_tensor().set_names({card.decoder.outputs[role]})
        model = ov.Model([ops.result(output) for output in outputs], model.get_parameters(), card.name)
    if conversion.likeliest is not None:
        select_likeliest(card, model, conversion.likeliest)
    if card.input.resizable:
        free_focus(model)
    model.input().get_tensor().set_names({card.input.name})
    model.get_parameters()[0].set_layout(ov.Layout(card.input.layout))
    model.set_friendly_name(card.name)
    return model


def _tensor(card: NetworkCard, model: ov.Model, name: str) -> "ov.Output":
    for operation in model.get_ops():
        for output in operation.outputs():
            if name in output.get_names():
                return output
    raise ModelError(f"the graph of {card.name} has no tensor {name}, which its card cuts at")


def select_likeliest(card: NetworkCard, model: ov.Model, most: int) -> None:
    """Put the ``most`` likeliest guesses where the graph's non-maximum suppression chooses as many as it finds.

    What follows computes the joints of those rows as it would of the chosen ones. With rows that have a number any
    device runs it; one person's guesses are then told apart by the decoder. Raises ModelError for a graph that does not
    choose that way, among the guesses of one class in one picture.
    """
    found = [op for op in model.get_ops() if op.get_type_name() == "NonMaxSuppression"]
    if len(found) != 1:
        raise ModelError(f"the graph of {card.name} has {len(found)} non-maximum suppressions, its card replaces one")
    (suppression,) = found
    model.reshape([{"N": 1, "C": 3, "H": card.input.height, "W": card.input.width}[axis] for axis in card.input.layout])
    scores = suppression.input_value(1)
    if scores.get_partial_shape().is_dynamic or list(scores.get_shape())[:2] != [1, 1]:
        raise ModelError(f"{card.name}: (1, 1, guesses) scores expected, {scores.get_partial_shape()} found")
    count = min(most, scores.get_shape()[2])
    flat = ops.reshape(scores, ops.constant(np.array([-1])), special_zero=False)
    best = ops.topk(flat, ops.constant(np.int64(count)), 0, "max", "value", index_element_type="i64")
    chosen = ops.unsqueeze(best.output(1), ops.constant(np.int64(1)))
    # Each row: the picture, the class, the guess.
    indices = ops.concat([ops.constant(np.zeros((count, 2), np.int64)), chosen], 1)
    values = ops.concat(
        [ops.constant(np.zeros((count, 2), np.float32)), ops.unsqueeze(best.output(0), ops.constant(np.int64(1)))], 1
    )
    for output, row in zip(suppression.outputs(), (indices, values, ops.constant(np.array([count]))), strict=False):
        output.replace(ops.convert(row, output.get_element_type()).output(0))
    model.validate_nodes_and_infer_types()


def free_focus(model: ov.Model) -> None:
    """Let the focus of YOLOX, which gathers each square of four pixels in one cell, take any size.

    The exporter writes it down as reshape, transpose, reshape with the sides of one picture; everything behind it
    follows the picture by itself.
    """
    for reader in model.input().get_target_inputs():
        squares = reader.get_node()
        if squares.get_type_name() != "Reshape" or len(squares.get_output_partial_shape(0)) != 6:
            continue
        transpose = next(iter(squares.output(0).get_target_inputs())).get_node()
        joined = next(iter(transpose.output(0).get_target_inputs())).get_node()
        # Of (1, C, H/2, 2, W/2, 2): which of the rows, columns and channels leads among the new channels.
        order = [axis for axis in transpose.input_value(1).get_node().get_data().tolist() if axis in (1, 3, 5)]
        channels = int(squares.get_output_partial_shape(0)[1].get_length())
        places = np.arange(BLOCK * BLOCK * channels).reshape(BLOCK, BLOCK, channels)
        wanted = places.transpose([(3, 5, 1).index(axis) for axis in order]).ravel()
        gathered = ops.space_to_depth(model.input().get_node(), "blocks_first", BLOCK)
        ordered = ops.gather(gathered, ops.constant(wanted), ops.constant(np.int64(1)))
        ordered.set_friendly_name(joined.get_friendly_name())
        joined.output(0).replace(ordered.output(0))
        return
