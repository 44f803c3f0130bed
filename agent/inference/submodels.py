"""Into which submodels OpenVINO's HETERO plugin cuts a network whose operations have devices.

The rule is that of ``SubgraphCollector`` in OpenVINO 2026.4 (src/plugins/hetero/src/subgraph_collector.cpp): neighbours
on one device belong together, and where submodels would wait for each other, edges are cut until none do.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from agent.inference.graph import CONSTANT, PARAMETER, RESULT, Graph

Edge = tuple[int, int]
"""An operation and the number of one of its inputs; a constant or parameter counts as one edge of its own."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """A tensor that one submodel hands to another."""

    operation: int
    """Place of the operation that makes it."""
    output: int
    target: int
    """Number of the submodel that reads it."""


@dataclass(frozen=True, slots=True)
class Submodels:
    """A network that is cut."""

    member: tuple[int, ...]
    """Of each operation: the number of its submodel, from 0; -1 for constants that belong to no submodel."""
    devices: tuple[str, ...]
    """Of each submodel."""
    crossings: tuple[Crossing, ...]


def cut(graph: Graph, devices: Sequence[str]) -> Submodels:
    """Cut a network as OpenVINO does. ``devices`` are those of all operations, constants included."""
    cutter = _Cutter(graph, devices)
    while cutter.break_cycles():
        pass
    while cutter.isolate_one():
        pass
    return _numbered(graph, devices, cutter)


@dataclass(slots=True)
class _Needs:
    """Which cut edges lie before an operation. Sets of edges are bits of integers, as in the original."""

    ends: list[Edge]
    """The edge each bit stands for."""
    own: list[int] = field(default_factory=list)
    """Of each operation: those of its own submodel."""
    cyclic: list[int] = field(default_factory=list)
    """Of each operation: those over which its own submodel feeds another that feeds it."""
    reentries: dict[int, int] = field(default_factory=dict)
    """Of each submodel: those over which it is fed by others."""
    from_leaves: int = 0
    """Constants and parameters, and what comes straight from them."""

    def edges(self, bits: int) -> Iterator[Edge]:
        while bits:
            lowest = bits & -bits
            yield self.ends[lowest.bit_length() - 1]
            bits ^= lowest


class _Cutter:
    """Grows the set of edges that are cut."""

    def __init__(self, graph: Graph, devices: Sequence[str]) -> None:
        self.operations = graph.operations
        self.consumers = graph.consumers
        read = Counter(way for operation in self.operations for way in operation.inputs)
        self.read_once = {way for way, times in read.items() if times == 1}
        self.leaf = [operation.type in (CONSTANT, PARAMETER) for operation in graph.operations]
        self.edges: dict[Edge, None] = {}
        for place, operation in enumerate(self.operations):
            if self.leaf[place]:
                self.edges[place, 0] = None
            elif operation.type != RESULT:
                for number, (source, _output) in enumerate(operation.inputs):
                    if devices[source] != devices[place]:
                        self.edges[place, number] = None

    def parts(self) -> list[int]:
        """Of each operation: the first of those it hangs together with over edges that are not cut."""
        parent = list(range(len(self.operations)))

        def root(place: int) -> int:
            while parent[place] != place:
                parent[place] = parent[parent[place]]
                place = parent[place]
            return place

        for place, operation in enumerate(self.operations):
            for number, (source, _output) in enumerate(operation.inputs):
                if (place, number) not in self.edges:
                    one, other = sorted((root(place), root(source)))
                    parent[other] = one
        return [root(place) for place in range(len(self.operations))]

    def break_cycles(self) -> bool:
        """Cut where an operation needs what another submodel makes of its own; tells whether anything was cut."""
        part = self.parts()
        needs = self._needs(part)
        before = len(self.edges)
        for place in (place for place, found in enumerate(needs.cyclic) if found):
            behind = 0
            for edge in needs.edges(needs.cyclic[place]):
                behind |= needs.own[self._maker(edge)]
            for edge in needs.edges(needs.own[place] & needs.reentries.get(part[place], 0)):
                behind |= needs.own[edge[0]]
            for number, way in enumerate(self.operations[place].inputs):
                source = way[0]
                if needs.cyclic[place] & needs.cyclic[source] or not behind & needs.own[source]:
                    continue
                alone = way in self.read_once and not self.leaf[source] and not needs.cyclic[source]
                if not alone or needs.own[source] & ~needs.from_leaves:
                    self.edges[place, number] = None
        return len(self.edges) > before

    def isolate_one(self) -> bool:
        """Cut off one operation of submodels that wait for each other over several; tells whether there are any.

        Rather one that reads from such a submodel, then one that shares its source, then one that reads no weights,
        then one that is more than a link of a chain.
        """
        part = self.parts()
        cyclic = self._cyclic(part)
        best: tuple[bool, bool, bool, bool, int, int] | None = None
        for place, operation in enumerate(self.operations):
            if part[place] not in cyclic:
                continue
            makers = {
                part[source] for number, (source, _o) in enumerate(operation.inputs) if (place, number) in self.edges
            }
            inner = [
                source for number, (source, _o) in enumerate(operation.inputs) if (place, number) not in self.edges
            ]
            if inner:
                rank = (
                    not (makers - {part[place]}) & cyclic,
                    not any(len(self.consumers[source]) > 1 for source in inner),
                    any(self._weights(source) for source in inner),
                    len(inner) == 1 and len(self.consumers[place]) <= 1,
                    len(inner),
                    place,
                )
                best = min(best or rank, rank)
        if best:
            place = best[-1]
            self.edges |= {(place, number): None for number in range(len(self.operations[place].inputs))}
        return best is not None

    def _cyclic(self, part: list[int]) -> set[int]:
        """The parts that can be reached from themselves."""
        after: dict[int, set[int]] = {}
        for place, number in self.edges:
            if not self.leaf[place]:
                maker = part[self._maker((place, number))]
                if maker != part[place]:
                    after.setdefault(maker, set()).add(part[place])
        reached = dict.fromkeys(after, 0)
        order = sorted(after, reverse=True)  # most edges lead onwards, so that this is soon stable
        changed = True
        while changed:
            changed = False
            for one in order:
                found = reached[one]
                for other in after[one]:
                    found |= 1 << other | reached.get(other, 0)
                changed |= found != reached[one]
                reached[one] = found
        return {one for one, found in reached.items() if found >> one & 1}

    def _weights(self, place: int) -> bool:
        """Whether an operation reads constants and parameters alone, for one other."""
        fed = all(self.leaf[source] for source, _output in self.operations[place].inputs)
        return fed and not self.leaf[place] and len(self.consumers[place]) == 1

    def _needs(self, part: list[int]) -> "_Needs":
        bits = {edge: 1 << number for number, edge in enumerate(self.edges)}
        needs = _Needs(list(bits))
        owners: dict[int, int] = {}
        makers: dict[int, int] = {}
        for edge, bit in bits.items():
            owner = part[edge[0]]
            owners[owner] = owners.get(owner, 0) | bit
            if self.leaf[edge[0]] or self.leaf[self._maker(edge)]:
                needs.from_leaves |= bit
            if not self.leaf[edge[0]]:
                maker = part[self._maker(edge)]
                makers[maker] = makers.get(maker, 0) | bit
                if maker != owner:
                    needs.reentries[owner] = needs.reentries.get(owner, 0) | bit
        before: list[int] = []
        for place, operation in enumerate(self.operations):
            found = bits.get((place, 0), 0) if self.leaf[place] else 0
            for number, (source, _output) in enumerate(operation.inputs):
                found |= bits.get((place, number), 0) | before[source]
            before.append(found)
            needs.own.append(found & owners.get(part[place], 0))
            needs.cyclic.append(found & makers.get(part[place], 0))
        return needs

    def _maker(self, edge: Edge) -> int:
        place, number = edge
        return self.operations[place].inputs[number][0]


def _numbered(graph: Graph, devices: Sequence[str], cutter: _Cutter) -> Submodels:
    """The submodels in the order in which they come first; constants alone are none."""
    part = cutter.parts()
    crossings: dict[tuple[int, int, int], None] = {}
    for place, number in cutter.edges:
        if cutter.leaf[place]:
            continue
        source, output = graph.operations[place].inputs[number]
        if graph.operations[source].type == CONSTANT:
            continue
        for reader, read in graph.consumers[source]:
            if read == output and part[reader] != part[source]:
                crossings[source, output, part[reader]] = None
    ends = {part[source] for source, _output, _target in crossings} | {target for _s, _o, target in crossings}
    kinds = (PARAMETER, RESULT)
    bare = {part[place] for place, operation in enumerate(graph.operations) if operation.type in kinds}
    numbers: dict[int, int] = {}
    for one in part:
        if one in ends or one in bare:
            numbers.setdefault(one, len(numbers))
    first = {number: one for one, number in numbers.items()}
    on = _devices_of_parts(graph, devices, part)
    return Submodels(
        member=tuple(numbers.get(one, -1) for one in part),
        devices=tuple(on[first[number]] for number in range(len(first))),
        crossings=tuple(Crossing(source, output, numbers[target]) for source, output, target in crossings),
    )


def _devices_of_parts(graph: Graph, devices: Sequence[str], part: list[int]) -> dict[int, str]:
    """A result goes where its tensor is made, so it never decides."""
    return {part[place]: devices[place] for place, operation in enumerate(graph.operations) if operation.type != RESULT}
