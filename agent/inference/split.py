"""The one cut of a network between two devices that makes a frame quickest.

A network whose operations run one after the other on either of two devices is cut in two: what comes before the cut
runs on the first, the rest on the second, and every tensor that is made on one side and read on the other crosses.
Neurosurgeon (Kang et al., ASPLOS 2017) chooses such a cut between a phone and a server from predicted times; here the
times are measured on the box itself, and the exact minimum over every cut and both directions is taken in one pass. A
network is left whole where that wins too little.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from agent.inference.graph import CONSTANT, Graph
from agent.inference.measure import CrossingCost, Measurement
from agent.wire.affinity import Expected

WORTH: Final = 0.05
"""Of a frame's time: what a cut must promise to win. The sum of many measured times is wrong by some of it, and of
thousands of cuts the one whose errors happen to be luckiest would always look better than none."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A cut, and what it promises."""

    devices: Mapping[int, str]
    """Of each operation that runs."""
    expected: Expected


@dataclass(frozen=True, slots=True)
class Cut:
    """The first ``at`` of the operations that run are on ``first``, the others on ``second``."""

    first: str
    second: str
    at: int
    frame_ms: float
    crossing_ms: float


def choose(graph: Graph, measured: Measurement) -> Choice:
    """Place the operations that run for the quickest frame.

    Never cuts between operations that a device computes as one: what they would cost apart has not been measured.
    """
    cut = best_cut(graph, measured)
    devices = {place: cut.first if position < cut.at else cut.second for position, place in enumerate(graph.running)}
    expected = Expected(
        frame_ms=round(cut.frame_ms, 3),
        alone_ms={device: round(alone, 3) for device, alone in measured.alone_ms().items()},
        crossing_ms=round(cut.crossing_ms, 3),
    )
    return Choice(devices, expected)


def best_cut(graph: Graph, measured: Measurement) -> Cut:
    """The cheapest of all cuts, or the cheapest device alone where no cut is ``WORTH`` it."""
    end = len(graph.running)
    whole = min(
        (Cut(device, device, end, alone, 0.0) for device, alone in measured.alone_ms().items()),
        key=lambda cut: cut.frame_ms,
    )
    cuts: list[Cut] = []
    allowed = _between_fused(end, measured.fused)
    spans = tensor_spans(graph)
    for (first, second), cost in measured.crossing.items():
        before = [0.0, *accumulate(measured.times_ms[first])]
        behind = [0.0, *accumulate(reversed(measured.times_ms[second]))][::-1]
        crossing = _crossing(end, spans, cost)
        cuts += [
            Cut(first, second, at, before[at] + behind[at] + crossing[at], crossing[at])
            for at in range(1, end)
            if allowed[at]
        ]
    best = min(cuts, key=lambda cut: cut.frame_ms, default=whole)
    return best if best.frame_ms < (1 - WORTH) * whole.frame_ms else whole


def tensor_spans(graph: Graph) -> list[tuple[int, int, int]]:
    """Of each tensor: first and last position among the operations that run at which it is made or read, and bytes.

    It crosses every cut behind the first and not behind the last. Parameters and what is computed from constants alone
    stand with the first operation they feed; constants are on either side and cross nothing.
    """
    position = {place: number for number, place in enumerate(graph.running)}
    for place in reversed(range(len(graph.operations))):
        if place not in position:
            fed = graph.consumers[place]
            position[place] = position[fed[0][0]] if fed else 0
    spans = []
    for place, operation in enumerate(graph.operations):
        for output, size in enumerate(operation.outputs):
            readers = [position[reader] for reader, read in graph.consumers[place] if read == output]
            if readers and operation.type != CONSTANT:
                spans.append((min(position[place], *readers), max(position[place], *readers), size))
    return spans


def _crossing(end: int, spans: Sequence[tuple[int, int, int]], cost: CrossingCost) -> list[float]:
    """Of each cut: milliseconds of the tensors that cross it."""
    change = [0.0] * (end + 1)
    for first, last, size in spans:
        change[first + 1] += cost.of(size)
        change[last + 1] -= cost.of(size)
    return list(accumulate(change))


def _between_fused(end: int, fused: Sequence[tuple[int, int]]) -> list[bool]:
    """Of each cut: whether it leaves together what a device computes as one."""
    change = [0] * (end + 2)
    for first, last in fused:
        change[first + 1] += 1
        change[last + 1] -= 1
    return [inside == 0 for inside in accumulate(change)]
