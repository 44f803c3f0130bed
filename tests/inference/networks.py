"""Small networks for property tests: as plain graphs, and as OpenVINO has them."""

from typing import Any

import numpy as np
import openvino as ov
from hypothesis import strategies as st
from openvino import opset13

from agent.inference.graph import Graph, Operation

MEMBERS = ("SIMCPU", "CPU")
SHAPE = [1, 2, 4, 4]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """A network of any shape: branches, joins, constants, weights computed from constants, unread outputs."""
    operations = [Operation("picture", "Parameter", (), (draw(st.integers(1, 100)),))]
    for number in range(draw(st.integers(1, 14))):
        if draw(st.integers(0, 4)) == 0:
            operations.append(Operation(f"constant{number}", "Constant", (), (draw(st.integers(1, 100)),)))
            continue
        sources = draw(st.lists(st.integers(0, len(operations) - 1), min_size=1, max_size=3))
        inputs = tuple((source, draw(st.integers(0, len(operations[source].outputs) - 1))) for source in sources)
        sizes = draw(st.lists(st.integers(1, 100), min_size=1, max_size=2))
        operations.append(Operation(f"operation{number}", "Add", inputs, tuple(sizes)))
    read = {source for operation in operations for source, _output in operation.inputs}
    ends = [place for place in range(len(operations)) if place not in read] + draw(
        st.lists(st.integers(0, len(operations) - 1), max_size=2)
    )
    results = [Operation(f"result{place}-{number}", "Result", ((place, 0),), (1,)) for number, place in enumerate(ends)]
    # What runs with every frame: at least one operation.
    operations.append(Operation("last", "Add", ((0, 0),), (1,)))
    return Graph((*operations, *results))


@st.composite
def networks(draw: st.DrawFn) -> ov.Model:
    """A network that compiles, with the traits that make HETERO cut: joins, shared constants, several outputs."""
    picture = opset13.parameter(SHAPE, np.float32)
    shared = opset13.constant(np.full(SHAPE, 0.5, np.float32))
    values: list[Any] = [picture.output(0)]
    for _ in range(draw(st.integers(2, 12))):
        one, other = draw(st.sampled_from(values)), draw(st.sampled_from(values))
        kind = draw(st.sampled_from(["unary", "join", "shared", "weights", "split"]))
        if kind == "unary":
            values.append(opset13.sigmoid(one).output(0))
        elif kind == "join":
            values.append(opset13.maximum(one, other).output(0))
        elif kind == "shared":
            values.append(opset13.add(one, shared).output(0))
        elif kind == "weights":
            halves = opset13.constant(np.full(SHAPE, 0.25, np.float16))
            values.append(opset13.multiply(one, opset13.convert(halves, np.float32)).output(0))
        elif one.get_shape() == SHAPE:
            values.extend(opset13.split(one, 1, 2).outputs())
    ends = [value for value in values if not value.get_target_inputs()]
    return ov.Model([opset13.result(value) for value in ends or values[-1:]], [picture])
