"""NNCF's post-training quantisation, kept quiet, and single layers of what it made.

Only this file knows NNCF, which comes with the extra `quantize` and takes a second to import.
"""

import contextlib
import io
import logging
from collections.abc import Collection, Sequence
from importlib import metadata

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13

from agent.capture.frame import Image
from models.getting.convert import as_tensor
from models.shelf.catalogue import NetworkCard
from models.shelf.inspect import resized, work_of


def quantised(
    model: ov.Model,
    card: NetworkCard,
    pictures: Sequence[Image],
    *,
    only: Collection[str] | None = None,
    correct_bias: bool = True,
) -> ov.Model:
    """A quantised copy of ``model``, calibrated on ``pictures``, each uint8 (H, W, 3) BGR of a size the network takes.

    ``only`` names the layers to quantise, each of which then has quantisers of its own; None is all that NNCF would.
    Weights are quantised symmetrically, activations asymmetrically (NNCF's preset MIXED).
    """
    import nncf  # noqa: PLC0415 - an extra, and slow to import

    nncf.set_log_level(logging.ERROR)
    names = [op.get_friendly_name() for op in model.get_ops()]
    kept = [] if only is None else [name for name in names if name not in only]
    with contextlib.redirect_stdout(io.StringIO()):  # its progress bars
        result: ov.Model = nncf.quantize(
            model.clone(),
            nncf.Dataset(pictures, lambda picture: as_tensor(card, picture)),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(pictures),
            ignored_scope=nncf.IgnoredScope(names=kept, validate=False),
            advanced_parameters=nncf.AdvancedQuantizationParameters(disable_bias_correction=not correct_bias),
        )
    return result


def version() -> str:
    """NNCF's."""
    return metadata.version("nncf")


def work_by_layer(model: ov.Model, card: NetworkCard, height: int, width: int) -> dict[str, int]:
    """The layers that do arithmetic, in order, and the multiply-accumulates of each at an input size."""
    sized = resized(model.clone(), card, height, width)
    # What follows a network's own selection of people has no size yet, and does next to nothing.
    static = [
        op for op in sized.get_ordered_ops() if not any(port.get_partial_shape().is_dynamic for port in op.outputs())
    ]
    return {op.get_friendly_name(): work for op in static if (work := work_of(op))}


def transplant(original: ov.Model, full: ov.Model, name: str) -> ov.Model | None:
    """A copy of ``original`` whose layer ``name`` computes as in ``full``; None when it is not quantised there."""
    model = original.clone()
    layer, twin = (
        next((op for op in network.get_ops() if op.get_friendly_name() == name), None) for network in (model, full)
    )
    if layer is None or twin is None:
        return None
    changed = False
    for port, source in zip(layer.inputs(), twin.input_values(), strict=True):
        node = source.get_node()
        if node.get_type_name() == "FakeQuantize":
            limits = [opset13.constant(_values(limit.get_node())) for limit in node.input_values()[1:]]
            quantizer = opset13.fake_quantize(port.get_source_output(), *limits, node.get_attributes()["levels"])
            port.replace_source_output(quantizer.output(0))
            changed = True
        elif (values := _values(node)) is not None:
            port.replace_source_output(opset13.constant(values).output(0))
    return model if changed else None


def _values(node: ov.Node) -> NDArray[np.float32] | None:
    """What a chain of constants comes to, None for anything else: weights are integers, converted and scaled."""
    if node.get_type_name() == "Constant":
        return np.asarray(node.get_data(), np.float32)
    sources = [_values(value.get_node()) for value in node.input_values()]
    match node.get_type_name(), sources:
        case "Convert", [values]:
            return values
        case "Multiply", [np.ndarray() as left, np.ndarray() as right]:
            return np.asarray(left * right, np.float32)
        case "Subtract", [np.ndarray() as left, np.ndarray() as right]:
            return np.asarray(left - right, np.float32)
    return None
