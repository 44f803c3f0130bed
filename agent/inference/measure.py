"""How long each operation takes on each device, and what it costs when a tensor crosses between two."""

import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import openvino as ov
from openvino import opset13

from agent.inference.devices import cause
from agent.inference.graph import Graph
from agent.inference.properties import properties
from agent.inference.spec import EngineSpec
from agent.wire.commands import CommandError, ErrorCode

ROUNDS = 30
KEPT_MAX = 8
PROBE_CHANNELS = 32
PROBE_SIDES = (4, 32, 128)
"""Height and width of the tensors whose crossing is timed, of float32: 2 KiB to 2 MiB."""

_kept: "OrderedDict[object, Measurement]" = OrderedDict()
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, slots=True)
class CrossingCost:
    """What a tensor costs that goes from one device to another, over both of them working on it in one piece."""

    fixed_ms: float
    ms_per_byte: float

    def of(self, size: int) -> float:
        """Milliseconds for a tensor of so many bytes."""
        return self.fixed_ms + size * self.ms_per_byte


@dataclass(frozen=True, slots=True)
class Measurement:
    """A network on each of several devices alone, and the ways between them."""

    graph: Graph
    times_ms: Mapping[str, tuple[float, ...]]
    """Of each operation that runs, in order; they add up to the whole network's time."""
    fused: tuple[tuple[int, int], ...]
    """First and last of operations that some device computes as one, as positions among those that run."""
    crossing: Mapping[tuple[str, str], CrossingCost]
    """From one device to another."""

    def alone_ms(self) -> dict[str, float]:
        """The whole network on each device alone."""
        return {device: sum(times) for device, times in self.times_ms.items()}

    def heaviest(self, device: str) -> list[int]:
        """Places of the operations that run, from the slowest on this device to the fastest."""
        times = self.times_ms[device]
        order = sorted(range(len(times)), key=lambda position: -times[position])
        return [self.graph.running[position] for position in order]


def measure(core: ov.Core, network: ov.Model, graph: Graph, spec: EngineSpec, devices: Sequence[str]) -> Measurement:
    """Measure a network on each of the devices, as the spec would run it there.

    Takes a few seconds. The engine that runs meanwhile competes for the processor: the devices take turns, and of each
    figure the smallest of 30 counts, since other work only ever makes one longer. A measurement is kept while the
    agent runs, so that a plan and the engine built after it agree.

    Raises CommandError with ``invalid_affinity`` when a device cannot run the network alone or does not tell how long
    its operations take.
    """
    # Not by name: those of the preprocessing are numbered anew whenever the network is read.
    key = (replace(spec, affinity=None), tuple(replace(operation, name="") for operation in graph.operations))
    with _one_at_a_time:
        if key not in _kept:
            profiles = _profiles(core, network, graph, spec, devices)
            _kept[key] = Measurement(
                graph,
                {device: profile.times_ms for device, profile in profiles.items()},
                tuple(dict.fromkeys(span for profile in profiles.values() for span in profile.fused)),
                _crossings(core, spec, devices),
            )
            while len(_kept) > KEPT_MAX:
                _kept.popitem(last=False)
        return _kept[key]


class _Profile:
    """A network on one device, timed operation by operation."""

    def __init__(self, compiled: ov.CompiledModel, graph: Graph) -> None:
        self._request = compiled.create_infer_request()
        self._request.infer()  # the first inference is where a lazy device still compiles
        positions = {graph.operations[place].name: position for position, place in enumerate(graph.running)}
        self._members = _members(compiled, positions)
        self._positions = positions
        self._rest_ms = float("inf")
        self._best = np.full(len(graph.running), np.inf)

    def run(self) -> None:
        started = time.perf_counter()
        self._request.infer()
        wall_ms = (time.perf_counter() - started) * 1e3
        times = np.zeros_like(self._best)
        for node in self._request.profiling_info:
            members = self._members.get(node.node_name) or [self._positions.get(node.node_name, -1)]
            if members[0] >= 0:
                times[members[0]] += node.real_time.total_seconds() * 1e3
        self._best = np.minimum(self._best, times)
        self._rest_ms = min(self._rest_ms, wall_ms - float(times.sum()))

    @property
    def times_ms(self) -> tuple[float, ...]:
        """What belongs to no operation, conversions of layout and the calls themselves, is spread over all."""
        total = float(self._best.sum())
        return tuple((self._best * (1 + max(0.0, self._rest_ms) / total)).tolist()) if total > 0 else ()

    @property
    def fused(self) -> list[tuple[int, int]]:
        return [(min(members), max(members)) for members in self._members.values() if len(members) > 1]


def _members(compiled: ov.CompiledModel, positions: Mapping[str, int]) -> dict[str, list[int]]:
    """Of each node of the compiled graph: the operations it computes, that with the name it bears first."""
    found = {}
    for node in compiled.get_runtime_model().get_ordered_ops():
        info = node.get_rt_info()
        names = info["originalLayersNames"].astype(str).split(",") if "originalLayersNames" in info else []
        members = [positions[name] for name in names if name in positions]
        if members:
            found[node.get_friendly_name()] = members
    return found


def _profiles(
    core: ov.Core, network: ov.Model, graph: Graph, spec: EngineSpec, devices: Sequence[str]
) -> dict[str, _Profile]:
    profiles = {}
    for device in devices:
        wanted = properties(core, replace(spec, device=device)) | {"PERF_COUNT": True}
        try:
            profiles[device] = _Profile(core.compile_model(network, device, wanted), graph)
        except RuntimeError as error:
            raise _unmeasured(f"{device} cannot run the network alone: {cause(error)}") from error
    for _ in range(ROUNDS):
        for profile in profiles.values():
            profile.run()
    for device, profile in profiles.items():
        if not profile.times_ms:
            raise _unmeasured(f"{device} does not tell how long its operations take")
    return profiles


def _unmeasured(message: str) -> CommandError:
    return CommandError(ErrorCode.INVALID_AFFINITY, message, "place by type, name or `first`, which needs no measuring")


def _crossings(core: ov.Core, spec: EngineSpec, devices: Sequence[str]) -> dict[tuple[str, str], CrossingCost]:
    """Time two operations on two devices against the same two on one, for three sizes of the tensor between them."""
    ways = list(itertools.permutations(devices, 2))
    extra: dict[tuple[str, str], list[tuple[float, float]]] = {way: [] for way in ways}
    for side in PROBE_SIDES:
        pairs = [*ways, *((device, device) for device in devices)]
        probes = {pair: _probe(core, spec, side, *pair) for pair in pairs}
        best = dict.fromkeys(pairs, float("inf"))
        for _ in range(ROUNDS):
            for pair, request in probes.items():
                started = time.perf_counter()
                request.infer()
                best[pair] = min(best[pair], (time.perf_counter() - started) * 1e3)
        for one, other in ways:
            together = (best[one, one] + best[other, other]) / 2
            extra[one, other].append((4 * PROBE_CHANNELS * side * side, best[one, other] - together))
    return {way: fitted(points) for way, points in extra.items()}


def _probe(core: ov.Core, spec: EngineSpec, side: int, first: str, second: str) -> ov.InferRequest:
    """Two convolutions, which no device computes as one, and which have layouts of their own as those of networks."""
    picture = opset13.parameter([1, PROBE_CHANNELS, side, side], np.float32)
    weights = np.full((PROBE_CHANNELS, PROBE_CHANNELS, 1, 1), 1 / PROBE_CHANNELS, np.float32)
    node = picture.output(0)
    for _ in range(2):
        node = opset13.convolution(node, opset13.constant(weights), [1, 1], [0, 0], [0, 0], [1, 1]).output(0)
    network = ov.Model([opset13.result(node)], [picture])
    *before, last, result = network.get_ordered_ops()
    for operation in (*before, last, result):
        operation.get_rt_info()["affinity"] = second if operation in (last, result) else first
    others = [device for device in (first, second) if device != first]
    device = f"HETERO:{','.join([first, *others])}"
    request = core.compile_model(network, device, properties(core, replace(spec, device=device))).create_infer_request()
    request.infer()
    return request


def fitted(points: Sequence[tuple[float, float]]) -> CrossingCost:
    """Fixed and per-byte cost from (bytes, milliseconds), neither below zero.

    The smallest tensor tells the fixed part: in a line through all points the noise of the largest would drown it. The
    rest is the least squares through what is left.
    """
    (_, smallest), *others = sorted(points)
    fixed = max(0.0, smallest)
    sizes, costs = np.array(others).T
    return CrossingCost(fixed, max(0.0, float((sizes * (costs - fixed)).sum() / (sizes**2).sum())))
