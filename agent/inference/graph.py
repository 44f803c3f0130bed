"""The operations of a network as plain data: what an affinity places, and what a plan is made of."""

from dataclasses import dataclass
from functools import cached_property
from math import prod

import openvino as ov
from openvino import opset13

CONSTANT = "Constant"
PARAMETER = "Parameter"
RESULT = "Result"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a network."""

    name: str
    """Friendly name: OpenVINO goes by it, so of several with one name the first decides for all."""
    type: str
    inputs: tuple[tuple[int, int], ...]
    """Where each input comes from: an operation's place in the graph, and which of its outputs."""
    outputs: tuple[int, ...]
    """Bytes of each output; 0 where the size is known only when it runs."""


@dataclass(frozen=True)
class Graph:
    """A network's operations in the order in which they can run."""

    operations: tuple[Operation, ...]

    @cached_property
    def running(self) -> tuple[int, ...]:
        """Places of the operations that compute with every frame.

        Constants, and what is computed from constants alone (weights that are decompressed), are not among them: they
        belong to what they feed. Neither are inputs and outputs of the network.
        """
        fed = [False] * len(self.operations)
        for place, operation in enumerate(self.operations):
            fed[place] = operation.type == PARAMETER or any(fed[source] for source, _output in operation.inputs)
        kinds = (PARAMETER, RESULT)
        return tuple(place for place, one in enumerate(self.operations) if fed[place] and one.type not in kinds)

    @cached_property
    def consumers(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """Of each operation: who reads it and which output; results of the network are not counted."""
        found: list[list[tuple[int, int]]] = [[] for _ in self.operations]
        for place, operation in enumerate(self.operations):
            if operation.type != RESULT:
                for source, output in operation.inputs:
                    found[source].append((place, output))
        return tuple(tuple(of_one) for of_one in found)

    @cached_property
    def by_name(self) -> dict[str, int]:
        """Name to place, of several the first."""
        return {operation.name: place for place, operation in reversed(list(enumerate(self.operations)))}


def read_graph(network: ov.Model) -> Graph:
    """The operations of a network, constants included, in topological order."""
    nodes = network.get_ordered_ops()
    places = {node.get_name(): place for place, node in enumerate(nodes)}
    return Graph(
        tuple(
            Operation(
                node.get_friendly_name(),
                node.get_type_name(),
                tuple((places[value.get_node().get_name()], value.get_index()) for value in node.input_values()),
                tuple(_bytes(output) for output in node.outputs()),
            )
            for node in nodes
        )
    )


def settle_shapes(network: ov.Model) -> None:
    """Put constants in the place of shapes that are known.

    An operation that asks for the shape of a tensor would otherwise be an operation to place: on another device than
    the tensor's it would make the whole tensor cross for four numbers.
    """
    for node in network.get_ordered_ops():
        if node.get_type_name() == "ShapeOf" and node.input(0).get_partial_shape().is_static:
            shape = opset13.constant(list(node.input(0).get_shape()), node.get_element_type())
            shape.set_friendly_name(node.get_friendly_name())
            node.output(0).replace(shape.output(0))


def _bytes(output: "ov.Output") -> int:
    shape = output.get_partial_shape()
    if shape.is_dynamic:
        return 0
    return int(prod(shape.to_shape()) * output.get_element_type().bitwidth + 7) // 8
