"""What frozen graphs need beyond being cut: they were written for TensorFlow's own kernels."""

from collections.abc import Mapping

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from agent.errors import ModelError
from models.getting import graphdef
from models.getting.graphdef import Graph

CHANNELS_LAST = [0, 2, 3, 1]


def normalise_per_picture(model: ov.Model) -> None:
    """Let normalisation over batch, height and width be one over height and width, where the channels already stand.

    A batch norm that was frozen in training mode takes its statistics from the picture. OpenVINO's reader moves the
    channels to the back and forth for it, and the CPU has no kernel for statistics over the batch. With one picture
    in the batch both are the same, and the network is twice as fast.
    """
    for node in model.get_ops():
        if node.get_type_name() != "MVN" or _order(source := node.input_value(0).get_node()) != CHANNELS_LAST:
            continue
        attributes = node.get_attributes()
        normalised = ops.mvn(
            source.input_value(0),
            ops.constant(np.array([2, 3], np.int64)),
            attributes["normalize_variance"],
            attributes["eps"],
            attributes["eps_mode"],
        )
        # This transposition and the one that follows cancel out when the network is compiled.
        node.output(0).replace(ops.transpose(normalised, source.input_value(1)).output(0))


def _order(node: ov.Node) -> list[int] | None:
    """The order a transposition puts the axes in; None for any other operation."""
    if node.get_type_name() != "Transpose" or (order := node.input_value(1).get_node()).get_type_name() != "Constant":
        return None
    return [int(axis) for axis in order.get_vector()]


def resize_by_factors(graph: Graph, factors: Mapping[str, int]) -> None:
    """Give each resize named in ``factors`` its size as its input's times the factor.

    OpenCV's reader knows no size taken from another tensor's shape. Raises ModelError for a node that is no such
    resize.
    """
    nodes = {node.name: node for node in graph.node}
    for name, factor in factors.items():
        try:
            resize = nodes[name]
            slicing = nodes[resize.input[1]]
            shape = nodes[slicing.input[0]]
        except (KeyError, IndexError) as error:
            raise ModelError(f"{name} is no resize to another tensor's shape") from error
        shape.input[:] = [resize.input[0]]
        constant = graphdef.constant(f"{name}/factors", np.array([factor, factor], np.int32))
        product = graphdef.node(f"{name}/size", "Mul", [slicing.name, constant.name], constant.attr["dtype"])
        graphdef.copy_nodes(graph, [constant, product])
        resize.input[1] = product.name
