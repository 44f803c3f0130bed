"""Promises of affinities, with the real network on the processor and its double."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest

from agent.inference.affinity import CONVOLUTIONS, ruled
from agent.inference.engine import with_preprocessing
from agent.inference.graph import Graph, read_graph, settle_shapes
from agent.inference.measure import Conduct
from agent.inference.plan import DRAWN_MAX, plan
from agent.inference.spec import EngineSpec
from agent.wire.affinity import Affinity, Match, Plan, Rule
from agent.wire.commands import CommandError, ErrorCode
from models.shelf import golden
from models.shelf.store import Store
from tests.inference.engines import CARD, CORE, heads_of, movenet

SIZE = (128, 128)
HETERO = "HETERO:SIMCPU,CPU"
FALLBACK = Affinity(preset="fallback")
SPLIT = Affinity(preset="split")
HALF = Affinity(rules=(Rule(match=Match(first=0.5), device="CPU"),), default="SIMCPU")


def rule(device: str, **match: Any) -> Rule:
    return Rule(match=Match(**match), device=device)


def wanted(affinity: Affinity | None, device: str = HETERO, size: tuple[int, int] = SIZE) -> EngineSpec:
    return EngineSpec(CARD.name, device, "FP32", *size, affinity=affinity)


def network(store: Store) -> ov.Model:
    return with_preprocessing(CORE.read_model(store.variant(CARD.name, "FP32")), CARD, wanted(None))


def planned(store: Store, affinity: Affinity | None, device: str = HETERO) -> Plan:
    return plan(CORE, network(store), wanted(affinity, device), Conduct())


@pytest.fixture(scope="module")
def graph(store: Store) -> Graph:
    return read_graph(network(store))


@pytest.mark.parametrize("affinity", [FALLBACK, HALF, SPLIT], ids=["fallback", "half", "split"])
def test_an_engine_is_what_was_planned(affinity: Affinity, store: Store) -> None:
    """The engine built after a plan has its submodels and its devices, and computes what one device alone computes."""
    told = planned(store, affinity)
    with movenet(store, SIZE, device=HETERO, affinity=affinity) as engine, movenet(store, SIZE) as alone:
        assert engine.facts.plan == told
        assert engine.facts.submodels == told.submodels
        assert set(engine.facts.execution_devices) == set(told.operations)
        assert engine.facts.inference_precision == "F32"
        picture = golden.golden_input(CARD, *SIZE)
        for found, expected in zip(heads_of(engine, picture), heads_of(alone, picture), strict=True):
            assert np.abs(found - expected).max() <= 1e-3 * np.abs(expected).max()


def test_without_an_affinity_there_is_no_plan(store: Store) -> None:
    """An engine that was not asked for a placement tells none."""
    with movenet(store, SIZE, device=HETERO) as engine:
        assert engine.facts.plan is None


def test_convolutions_go_to_the_first_device(store: Store, graph: Graph) -> None:
    """The study's preset puts every convolution on the first device and all else on the second, in many pieces."""
    told = planned(store, Affinity(preset="convolutions"))
    types = Counter(graph.operations[place].type in CONVOLUTIONS for place in graph.running)
    assert told.operations["SIMCPU"] == types[True]
    assert told.submodels > 100
    assert told.bytes_moved == sum(boundary.bytes for boundary in told.boundaries) > 10_000_000
    assert {(boundary.source, boundary.target) for boundary in told.boundaries} == {
        ("SIMCPU", "CPU"),
        ("CPU", "SIMCPU"),
    }


def test_known_shapes_are_not_placed(store: Store, graph: Graph) -> None:
    """A shape that is known becomes a constant, and so does not run, and neither does what is computed from it."""
    settled = network(store)
    settle_shapes(settled)
    after = read_graph(settled)
    types = {kind: {one.operations[place].type for place in one.running} for kind, one in ((0, graph), (1, after))}
    assert types[0] - types[1] == {"ShapeOf", "Gather", "StridedSlice"}
    assert types[1] < types[0]


def test_one_half_after_the_other_crosses_once(store: Store, graph: Graph) -> None:
    """A contiguous half makes two submodels, and what crosses goes from the first to the second."""
    told = planned(store, HALF)
    assert told.submodels == 2
    assert {(boundary.source, boundary.target) for boundary in told.boundaries} == {("CPU", "SIMCPU")}
    sizes = {one.name: one.outputs for one in graph.operations}
    for boundary in told.boundaries:
        assert boundary.bytes in sizes[boundary.operation]


def on(graph: Graph, *rules: Rule, default: str | None = None, heavy: tuple[int, ...] = ()) -> dict[str, str]:
    found = ruled(graph, Affinity(rules=rules, default=default), heavy)
    return {graph.operations[place].name: device for place, device in found.items()}


def test_rules_choose_by_type_name_and_place(graph: Graph) -> None:
    """Each kind of rule matches what it says, and only operations that run."""
    running = [graph.operations[place] for place in graph.running]
    by_type = on(graph, rule("A", type="Clamp"))
    assert set(by_type) == {one.name for one in running if one.type == "Clamp"} != set()
    by_name = on(graph, rule("A", name="GroupConv*"))
    assert set(by_name) == {one.name for one in running if one.name.startswith("GroupConv")} != set()
    assert list(on(graph, rule("A", first=0.25))) == [one.name for one in running[: -(-len(running) // 4)]]
    assert list(on(graph, rule("A", first=1))) == [one.name for one in running]
    heavy = graph.running[5:20]
    assert list(on(graph, rule("A", heaviest=3), heavy=heavy)) == [one.name for one in running[5:8]]


def test_of_several_rules_the_first_counts(graph: Graph) -> None:
    """An operation goes where the first rule that matches it says, and where none does to the default."""
    found = on(graph, rule("A", first=0.1), rule("B", type="Convolution"), rule("A", type="Convolution"), default="C")
    first = on(graph, rule("A", first=0.1))
    types = {one.name: one.type for one in graph.operations}
    for name, device in found.items():
        expected = "A" if name in first else "B" if types[name] == "Convolution" else "C"
        assert device == expected
    assert set(found.values()) == {"A", "B", "C"}


def test_what_no_rule_matches_is_openvinos(store: Store) -> None:
    """Without a default, what no rule matches goes where OpenVINO would put it: the first device that can run it."""
    told = planned(store, Affinity(rules=(rule("cpu", type="Clamp"),)))
    assert told.operations["CPU"] == 35
    assert told.operations["SIMCPU"] > 35


class Without:
    """A Core on which one device lacks an operation; no device that is here does."""

    def __init__(self, device: str, lacks: str) -> None:
        self._device = device
        self._lacks = lacks

    def query_model(self, network: ov.Model, device: str) -> dict[str, str]:
        found = dict(CORE.query_model(network, device))
        for node in network.get_ordered_ops():
            if node.get_type_name() == self._lacks and self._device in device:
                if device == HETERO:
                    found[node.get_friendly_name()] = "CPU"
                elif device == self._device:
                    del found[node.get_friendly_name()]
        return found


def test_what_a_device_cannot_run_is_moved_and_counted(store: Store, graph: Graph) -> None:
    """An operation that is wanted where it cannot run goes where OpenVINO would put it, and the plan says how many."""
    affinity = Affinity(rules=(rule("SIMCPU", first=1),))
    told = plan(Without("SIMCPU", "Interpolate"), network(store), wanted(affinity), Conduct())
    assert told.moved == {"Interpolate": 3}
    assert told.operations["CPU"] == 3


@pytest.mark.parametrize(
    ("affinity", "device", "message", "hint"),
    [
        (FALLBACK, "CPU", "needs a HETERO device, and the device is CPU", "controller set-device <id> HETERO:GPU,CPU"),
        (HALF, "AUTO:SIMCPU,CPU", "needs a HETERO device", "controller set-device"),
        (Affinity(preset="split"), "HETERO:CPU", "`split` needs two devices, and HETERO:CPU has one", "HETERO:GPU,CPU"),
        (
            Affinity(rules=(rule("GPU", first=0.5), rule("CPU", first=1)), default="NPU"),
            HETERO,
            "the rules name GPU, NPU, of which HETERO:SIMCPU,CPU knows nothing",
            "its devices are SIMCPU, CPU",
        ),
        (
            Affinity(rules=(rule("CPU", type="Convolutoin"),)),
            HETERO,
            "'Convolutoin'",
            "did you mean Convolution? types",
        ),
        (Affinity(rules=(rule("CPU", type="relu"),)), HETERO, "no operation is of type 'relu'", "did you mean ReLU?"),
        (Affinity(rules=(rule("CPU", name="neck/*"),)), HETERO, "no operation's name matches 'neck/*'", "look like "),
    ],
)
def test_affinities_that_cannot_be_are_refused(
    affinity: Affinity, device: str, message: str, hint: str, store: Store
) -> None:
    """An affinity that cannot be is `invalid_affinity`, names what is wrong and says what to do."""
    with pytest.raises(CommandError) as caught:
        planned(store, affinity, device)
    assert caught.value.code is ErrorCode.INVALID_AFFINITY
    assert message in caught.value.message
    assert hint.lower() in caught.value.hint.lower()


def test_every_placement_has_a_cache_of_its_own(store: Store, tmp_path: Path) -> None:
    """Another affinity never finds the blob of the first; the same one does, and is cut and computes as before."""
    answers = []
    for affinity, cached in ((HALF, False), (FALLBACK, False), (HALF, True), (FALLBACK, True)):
        with movenet(store, SIZE, device=HETERO, affinity=affinity, cache=tmp_path) as engine:
            assert engine.facts.from_cache is cached
            assert engine.facts.plan is not None
            answers.append((engine.facts.submodels, engine.facts.plan.submodels, set(engine.facts.execution_devices)))
    assert answers == [(2, 2, {"SIMCPU", "CPU"}), (1, 1, {"SIMCPU"})] * 2


def test_split_says_what_it_expects(store: Store) -> None:
    """The plan of a split tells each device's time alone, what crossing costs, and a frame no slower than either."""
    told = planned(store, SPLIT)
    assert told.expected is not None
    assert set(told.expected.alone_ms) == {"SIMCPU", "CPU"}
    assert 0 < told.expected.frame_ms <= min(told.expected.alone_ms.values())
    assert (told.expected.crossing_ms > 0) == (told.submodels > 1)
    assert planned(store, FALLBACK).expected is None


def test_the_heaviest_are_convolutions(store: Store, graph: Graph) -> None:
    """Measured times find what takes long: the few heaviest operations of this network are convolutions."""
    told = planned(store, Affinity(rules=(rule("SIMCPU", heaviest=5),), default="CPU"))
    assert told.operations["SIMCPU"] == 5
    types = {one.name: one.type for one in graph.operations}
    leaving = {boundary.operation for boundary in told.boundaries if boundary.source == "SIMCPU"}
    assert {types[name] for name in leaving} <= {*CONVOLUTIONS, "Transpose", "Add"}


def boxes(mermaid: str) -> list[str]:
    return [line.strip() for line in mermaid.splitlines() if line.strip().startswith("s") and "[" in line]


def test_the_picture_shows_submodels_and_what_crosses(store: Store) -> None:
    """A few submodels are drawn each with its device, its operations and labelled arrows between."""
    told = planned(store, HALF)
    lines = told.mermaid.splitlines()
    assert lines[0] == "flowchart TD"
    assert [box.split(":::")[0] for box in boxes(told.mermaid)] == [
        f's0["1: CPU<br/>{told.operations["CPU"]} operations"]',
        f's1["2: SIMCPU<br/>{told.operations["SIMCPU"]} operations"]',
    ]
    arrows = [line.strip() for line in lines if "-->" in line]
    assert len(arrows) == 1
    assert arrows[0].startswith('s0 -->|"')
    assert f"{told.bytes_moved / 1024:.0f} KiB" in arrows[0]


def test_a_picture_of_many_submodels_stays_readable(store: Store) -> None:
    """Beyond a number that can be read the others share one box, which says how many they are."""
    told = planned(store, Affinity(preset="convolutions"))
    assert len(boxes(told.mermaid)) == DRAWN_MAX - 1
    assert f'rest["{told.submodels - DRAWN_MAX + 1} more submodels, not drawn"]' in told.mermaid
    assert "--> rest" not in boxes(told.mermaid)
    assert len(told.mermaid) < 8_000
