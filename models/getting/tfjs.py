"""TensorFlow.js graph model to frozen TensorFlow graph.

A graph model is GraphDef in JSON plus the constants' bytes in one file, in the order of ``weightsManifest``. Its fused
convolutions exist in TensorFlow's CPU kernels only; every other reader wants them in their parts.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.errors import ModelError
from models.getting import graphdef
from models.getting.graphdef import Graph, Node

_FUSED = {"_FusedConv2D": "Conv2D", "FusedDepthwiseConv2dNative": "DepthwiseConv2dNative"}
_FUSED_ONLY = ("fused_ops", "num_args", "epsilon", "leakyrelu_alpha", "TArgs", "num_host_args", "host_args")
_ACTIVATIONS = frozenset({"Relu", "Relu6", "Elu", "Sigmoid", "Tanh"})


def load(topology: bytes, weights: bytes) -> Graph:
    """Freeze a graph model's JSON and weights files. Raises ModelError when they do not fit together."""
    try:
        document = json.loads(topology)
        graph = graphdef.from_json(document["modelTopology"])
        specs = [spec for group in document["weightsManifest"] for spec in group["weights"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"this is not a TensorFlow.js graph model: {error}") from error
    constants = dict(_constants(specs, weights))
    for node in graph.node:
        if node.op == "Const":
            if node.name not in constants:
                raise ModelError(f"the weights hold no value for {node.name}")
            graphdef.set_constant(node.attr["value"].tensor, constants[node.name])
    return split_fused(graph)


def _constants(specs: list[dict[str, Any]], weights: bytes) -> Iterator[tuple[str, NDArray[np.generic]]]:
    offset = 0
    for spec in specs:
        stored = np.dtype(spec.get("quantization", spec)["dtype"])
        shape = tuple(spec["shape"])
        count = int(np.prod(shape, dtype=np.int64))
        end = offset + count * stored.itemsize
        if end > len(weights):
            raise ModelError(f"the weights end within {spec['name']}: {len(weights)} bytes, at least {end} expected")
        value = np.frombuffer(weights, stored, count, offset).reshape(shape)
        yield spec["name"], value.astype(spec["dtype"])
        offset = end
    if offset != len(weights):
        raise ModelError(f"the weights are {len(weights)} bytes, {offset} expected")


def split_fused(graph: Graph) -> Graph:
    """Replace every fused convolution by the convolution and the operations fused into it."""
    split = graphdef.empty()
    for node in graph.node:
        graphdef.copy_nodes(split, _parts(node) if node.op in _FUSED else [node])
    return split


def _parts(fused: Node) -> list[Node]:
    """Split one node; the last part keeps the fused node's name, so consumers stay as they are."""
    data, kernel, *arguments = fused.input
    names = [op.decode() for op in fused.attr["fused_ops"].list.s]
    if set(names) - _ACTIVATIONS - {"BiasAdd"}:
        raise ModelError(f"{fused.name} fuses {' and '.join(names)}, which is not supported")
    parts = graphdef.empty()
    graphdef.copy_nodes(parts, [fused])
    convolution = parts.node[0]
    convolution.op = _FUSED[fused.op]
    convolution.input[:] = [data, kernel]
    for attribute in _FUSED_ONLY:
        convolution.attr.pop(attribute, None)
    for op in names:
        previous = parts.node[-1]
        previous.name = f"{fused.name}/{previous.op}"
        inputs = [previous.name, arguments.pop(0)] if op == "BiasAdd" else [previous.name]
        graphdef.copy_nodes(parts, [graphdef.node(fused.name, op, inputs, fused.attr["T"])])
    return list(parts.node)


def cut(graph: Graph, outputs: Iterable[str]) -> Graph:
    """Keep what computes ``outputs``, with a float placeholder and no Cast behind it.

    OpenCV's reader knows no integer input; a picture of float 0..255 has the same values. Raises ModelError when a
    node is missing.
    """
    nodes = {node.name: node for node in graph.node}
    wanted, pending = set[str](), list(outputs)
    while pending:
        name = pending.pop()
        if name not in nodes:
            raise ModelError(f"the graph has no node {name}")
        if name not in wanted:
            wanted.add(name)
            pending.extend(producer(source) for source in nodes[name].input)
    kept = graphdef.empty()
    graphdef.copy_nodes(kept, (node for node in graph.node if node.name in wanted))
    _drop_cast(kept)
    return kept


def producer(reference: str) -> str:
    """Name the node behind an input reference."""
    return reference.removeprefix("^").partition(":")[0]


def _drop_cast(graph: Graph) -> None:
    placeholder = next(node for node in graph.node if node.op == "Placeholder")
    placeholder.attr["dtype"].type = graphdef.DT_FLOAT
    casts = {node.name for node in graph.node if node.op == "Cast" and list(node.input) == [placeholder.name]}
    for node in graph.node:
        node.input[:] = [placeholder.name if producer(source) in casts else source for source in node.input]
    for index in reversed([i for i, node in enumerate(graph.node) if node.name in casts]):
        del graph.node[index]
