"""Promises of the cut into submodels: it is OpenVINO's own."""

import openvino as ov
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.inference.affinity import spread
from agent.inference.graph import RESULT, Graph, read_graph
from agent.inference.submodels import cut
from tests.inference.engines import CORE
from tests.inference.networks import MEMBERS, graphs, networks


def compiled_submodels(network: ov.Model, devices: tuple[str, ...]) -> int:
    for node, device in zip(network.get_ordered_ops(), devices, strict=True):
        node.get_rt_info()["affinity"] = device
    return int(CORE.compile_model(network, "HETERO:SIMCPU,CPU").get_property("HETERO_NUMBER_OF_SUBMODELS"))


@settings(max_examples=30)
@given(networks(), st.data())
def test_there_are_as_many_submodels_as_openvino_makes(network: ov.Model, data: st.DataObject) -> None:
    """Whatever device any operation, constant or output has, OpenVINO makes as many submodels as told."""
    graph = read_graph(network)
    devices = tuple(data.draw(st.sampled_from(MEMBERS)) for _ in graph.operations)
    assert len(cut(graph, devices).devices) == compiled_submodels(network, devices)


@settings(max_examples=15)
@given(networks(), st.data())
def test_so_there_are_of_a_placement(network: ov.Model, data: st.DataObject) -> None:
    """The same where constants, inputs and outputs follow the operations that run."""
    graph = read_graph(network)
    devices = spread(graph, {place: data.draw(st.sampled_from(MEMBERS)) for place in graph.running})
    assert len(cut(graph, devices).devices) == compiled_submodels(network, devices)


def places(graph: Graph, data: st.DataObject) -> tuple[str, ...]:
    return spread(graph, {place: data.draw(st.sampled_from(("A", "B", "C"))) for place in graph.running})


@given(graphs(), st.data())
def test_submodels_can_run_one_after_the_other(graph: Graph, data: st.DataObject) -> None:
    """A submodel is on one device, and none needs what is made from its own results."""
    devices = places(graph, data)
    submodels = cut(graph, devices)
    for place, number in enumerate(submodels.member):
        assert number < 0 or submodels.devices[number] == devices[place]
    needs = {number: set[int]() for number in range(len(submodels.devices))}
    for crossing in submodels.crossings:
        needs[crossing.target].add(submodels.member[crossing.operation])
    done: set[int] = set()
    while ready := {number for number in needs.keys() - done if needs[number] <= done}:
        done |= ready
    assert done == needs.keys()


@given(graphs(), st.data())
def test_what_crosses_is_made_on_one_side_and_read_on_the_other(graph: Graph, data: st.DataObject) -> None:
    """Every tensor that is read in another submodel crosses to it, once; constants and the network's outputs do not."""
    submodels = cut(graph, places(graph, data))
    expected = {
        (source, output, submodels.member[place])
        for place, operation in enumerate(graph.operations)
        for source, output in operation.inputs
        if operation.type != RESULT
        and graph.operations[source].type != "Constant"
        and submodels.member[source] != submodels.member[place]
    }
    found = [(crossing.operation, crossing.output, crossing.target) for crossing in submodels.crossings]
    assert len(found) == len(set(found))
    assert set(found) == expected
