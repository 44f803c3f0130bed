"""Promises of the cut that makes a frame quickest."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.inference.affinity import spread
from agent.inference.graph import CONSTANT, RESULT, Graph, Operation
from agent.inference.measure import CrossingCost, Measurement, fitted
from agent.inference.split import WORTH, best_cut, choose
from tests.inference.networks import graphs

DEVICES = ("A", "B", "C")
TIMES = st.floats(0, 10)
COSTS = st.builds(CrossingCost, st.floats(0, 3), st.floats(0, 0.1))


@st.composite
def measured_graphs(draw: st.DrawFn) -> tuple[Graph, Measurement]:
    graph = draw(graphs())
    devices = DEVICES[: draw(st.integers(2, 3))]
    count = len(graph.running)
    position = st.integers(0, count - 1)
    fused = draw(st.lists(st.tuples(position, position).map(lambda ends: (min(ends), max(ends))), max_size=2))
    times = {device: tuple(draw(st.lists(TIMES, min_size=count, max_size=count))) for device in devices}
    crossing = {way: draw(COSTS) for way in itertools.permutations(devices, 2)}
    return graph, Measurement(graph, times, tuple(fused), crossing)


def frame_ms(graph: Graph, measured: Measurement, first: str, second: str, at: int) -> float:
    """Add up what a cut costs, tensor by tensor."""
    running = {place: first if number < at else second for number, place in enumerate(graph.running)}
    devices = spread(graph, running)
    crossing = {
        (source, output)
        for place, operation in enumerate(graph.operations)
        for source, output in operation.inputs
        if operation.type != RESULT and graph.operations[source].type != CONSTANT and devices[source] != devices[place]
    }
    computing = sum(measured.times_ms[running[place]][number] for number, place in enumerate(graph.running))
    moving = (
        measured.crossing[first, second].of(graph.operations[source].outputs[output]) for source, output in crossing
    )
    return computing + sum(moving)


@given(measured_graphs())
def test_no_cut_is_better(case: tuple[Graph, Measurement]) -> None:
    """Of all cuts between any two devices in either order none makes a quicker frame by more than a cut is worth."""
    graph, measured = case
    best = best_cut(graph, measured)
    every = [
        frame_ms(graph, measured, first, second, at)
        for first, second in measured.crossing
        for at in range(len(graph.running) + 1)
        if not any(begin < at <= end for begin, end in measured.fused)
    ]
    alone = min(measured.alone_ms().values())
    worth = min(every) < (1 - WORTH) * alone
    assert (best.first != best.second) == worth
    assert best.frame_ms == pytest.approx(min(every) if worth else alone, abs=1e-9)
    if best.first != best.second:
        assert frame_ms(graph, measured, best.first, best.second, best.at) == pytest.approx(best.frame_ms, abs=1e-9)
    assert not any(begin < best.at <= end for begin, end in measured.fused if best.first != best.second)


@given(measured_graphs())
def test_the_choice_is_the_cut(case: tuple[Graph, Measurement]) -> None:
    """What is placed and what is expected are the best cut's: its devices, its time, and each device's alone."""
    graph, measured = case
    best, choice = best_cut(graph, measured), choose(graph, measured)
    assert list(choice.devices) == list(graph.running)
    assert "".join(choice.devices.values()) == best.first * best.at + best.second * (len(graph.running) - best.at)
    assert choice.expected.frame_ms == pytest.approx(best.frame_ms, abs=1e-3)
    assert choice.expected.frame_ms <= min(choice.expected.alone_ms.values())
    assert choice.expected.alone_ms == pytest.approx(
        {device: sum(times) for device, times in measured.times_ms.items()}, abs=1e-3
    )


def chain(*sizes: int) -> Graph:
    operations = [Operation("picture", "Parameter", (), (1_000,))]
    operations += [Operation(f"layer{place}", "Add", ((place, 0),), (size,)) for place, size in enumerate(sizes)]
    return Graph((*operations, Operation("result", "Result", ((len(sizes), 0),), (1,))))


def test_the_cut_is_where_little_crosses() -> None:
    """A chain whose head is quick on one device and whose tail on the other is cut at its narrowest place between."""
    graph = chain(500, 400, 10, 300)
    measured = Measurement(
        graph,
        {"A": (1.0, 1.0, 2.0, 9.0), "B": (9.0, 2.0, 2.0, 1.0)},
        (),
        {("A", "B"): CrossingCost(0.1, 0.01), ("B", "A"): CrossingCost(0.1, 0.01)},
    )
    best = best_cut(graph, measured)
    assert (best.first, best.second, best.at) == ("A", "B", 3)
    assert (best.frame_ms, best.crossing_ms) == pytest.approx((5.2, 0.2))


def test_equal_devices_are_left_whole() -> None:
    """Where crossing costs and nothing is gained, or nothing costs anything, the network stays in one piece."""
    graph = chain(1, 1, 1)
    for cost in (CrossingCost(0.0, 0.0), CrossingCost(0.1, 0.0)):
        ways = {("A", "B"): cost, ("B", "A"): cost}
        best = best_cut(graph, Measurement(graph, {"A": (1.0,) * 3, "B": (1.0,) * 3}, (), ways))
        assert best.first == best.second


def test_luck_is_no_reason_to_cut() -> None:
    """A cut that promises less than what the measurement may be wrong by is not made; one that promises more is."""
    graph = chain(1, 1, 1)
    ways = {("A", "B"): CrossingCost(0.0, 0.0), ("B", "A"): CrossingCost(0.0, 0.0)}
    for second, cut in ((1.0 - 2 * WORTH, False), (1.0 - 4 * WORTH, True)):
        measured = Measurement(graph, {"A": (1.0, 1.0, 1.0), "B": (9.0, 9.0, second)}, (), ways)
        best = best_cut(graph, measured)
        assert (best.first != best.second) is cut


@given(st.floats(0, 1), st.floats(0, 1e-5))
def test_a_fixed_and_a_byte_cost_are_told_apart(fixed: float, per_byte: float) -> None:
    """From timings without noise come the fixed cost and that of a byte, as far as the smallest tensor tells them."""
    found = fitted([(size, fixed + per_byte * size) for size in (64, 100_000, 2_000_000)])
    assert found.of(2_000_000) == pytest.approx(fixed + per_byte * 2_000_000, rel=1e-3, abs=1e-6)
    assert found.fixed_ms == pytest.approx(fixed, abs=1e-3)


def test_noise_gives_no_cost_below_zero() -> None:
    """A crossing that seems to win time costs nothing; it pays nobody."""
    for points in ([(64, -0.2), (1e5, -0.3), (2e6, -0.1)], [(64, 0.5), (1e5, 0.1), (2e6, 0.2)]):
        cost = fitted(points)
        assert cost.fixed_ms >= 0
        assert cost.ms_per_byte >= 0
        assert math.isfinite(cost.of(1_000))
