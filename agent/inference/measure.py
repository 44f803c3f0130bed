"""How long each operation takes on each device, and what it costs when a tensor crosses between two."""

import hashlib
import itertools
import math
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import openvino as ov
import structlog
from openvino import opset13
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.inference.devices import cause
from agent.inference.graph import Graph
from agent.inference.properties import properties
from agent.inference.spec import EngineSpec
from agent.wire.commands import CommandError, ErrorCode
from agent.wire.wording import cause_of

log = structlog.get_logger()

ROUNDS = 30
ROUNDS_MIN = 3
ROUNDS_S = 4.0
"""A slow device gets fewer rounds than so many: as many as fit in so many seconds, and three."""
KEPT_MAX = 8
PROBE_CHANNELS = 32
PROBE_SIDES = (4, 128)
"""Height and width of the tensors whose crossing is timed, of float32: 2 KiB and 2 MiB."""
ASSUMED_MS_PER_BYTE = 1e-6
"""Of a crossing of which there was no time to measure more than the smallest: a gigabyte a second, which is slow."""

_one_at_a_time = threading.Lock()


@dataclass(frozen=True, slots=True)
class Conduct:
    """How a measurement is to be gone about."""

    folder: Path | None = None
    """Where what was measured is kept, for the next start and for whoever is cut short; None for nowhere."""
    until_s: float = math.inf
    """On time.perf_counter(): from then on only what a plan cannot do without is measured."""
    tell: Callable[[str, float], None] = lambda _step, _share: None
    """Is told what is being done, and how much of all is done: 0 to 1."""
    go_on: Callable[[], None] = lambda: None
    """Is asked between two pieces; raises to give it up."""


class Pieces(BaseModel):
    """What has been measured so far."""

    model_config = ConfigDict(extra="forbid")

    times_ms: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    """Device to the time of each operation that runs."""
    fused: dict[str, tuple[tuple[int, int], ...]] = Field(default_factory=dict)
    crossing: dict[str, dict[int, float]] = Field(default_factory=dict)
    """``one>other`` to bytes to milliseconds."""


_kept: OrderedDict[str, Pieces] = OrderedDict()


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
    """From one device to another; empty where there was no time to measure it."""

    def alone_ms(self) -> dict[str, float]:
        """The whole network on each device alone."""
        return {device: sum(times) for device, times in self.times_ms.items()}

    def heaviest(self, device: str) -> list[int]:
        """Places of the operations that run, from the slowest on this device to the fastest."""
        times = self.times_ms[device]
        order = sorted(range(len(times)), key=lambda position: -times[position])
        return [self.graph.running[position] for position in order]


def measure(
    core: ov.Core, network: ov.Model, graph: Graph, spec: EngineSpec, devices: Sequence[str], conduct: Conduct
) -> Measurement:
    """Measure a network on each of the devices, as the spec would run it there.

    Takes a few seconds, and as long as compiling the network for each device. The engine that runs meanwhile competes
    for the processor: the devices take turns, and of each figure the smallest of up to 30 counts, since other work only
    ever makes one longer. Each piece is kept as soon as it is measured, so that a plan and the engine built after it
    agree, and who was cut short goes on where it ended.

    Raises CommandError with ``invalid_affinity`` when a device cannot run the network alone or does not tell how long
    its operations take, and what ``conduct.go_on`` raises.
    """
    # Not by name: those of the preprocessing are numbered anew whenever the network is read.
    operations = tuple(replace(operation, name="") for operation in graph.operations)
    names = [f"{name} {core.get_property(name, 'FULL_DEVICE_NAME')}" for name in devices]
    what = repr((replace(spec, affinity=None), operations, names, ov.__version__))
    key = hashlib.sha256(what.encode()).hexdigest()[:16]
    with _one_at_a_time:
        pieces = _kept.setdefault(key, _load(conduct.folder, key))
        _kept.move_to_end(key)
        while len(_kept) > KEPT_MAX:
            _kept.popitem(last=False)
        surveyor = _Surveyor(core, spec, devices, pieces, conduct)
        for _piece in surveyor.pieces(network, graph):
            _save(conduct.folder, key, pieces)
    spans = itertools.chain.from_iterable(pieces.fused[device] for device in devices)
    crossing = {
        (one, other): fitted(list(pieces.crossing[f"{one}>{other}"].items()))
        for one, other in itertools.permutations(devices, 2)
        if pieces.crossing.get(f"{one}>{other}")
    }
    return Measurement(graph, {name: pieces.times_ms[name] for name in devices}, tuple(dict.fromkeys(spans)), crossing)


def _load(folder: Path | None, key: str) -> Pieces:
    if folder is None:
        return Pieces()
    try:
        return Pieces.model_validate_json((folder / f"{key}.json").read_bytes())
    except FileNotFoundError:
        return Pieces()
    except (OSError, ValidationError) as error:
        log.warning("cache.damaged", folder=str(folder), cause=cause_of(error, "pieces"))
        return Pieces()


def _save(folder: Path | None, key: str, pieces: Pieces) -> None:
    if folder is None:
        return
    aside = folder / f"{key}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        aside.write_text(pieces.model_dump_json(), encoding="utf-8")
        aside.replace(folder / f"{key}.json")
        for stale in sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)[:-KEPT_MAX]:
            stale.unlink(missing_ok=True)
    except OSError as error:
        log.warning("cache.not_kept", folder=str(folder), cause=str(error))


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


class _Surveyor:
    """Measures what is still missing among the pieces."""

    def __init__(
        self, core: ov.Core, spec: EngineSpec, devices: Sequence[str], pieces: Pieces, conduct: Conduct
    ) -> None:
        self._core = core
        self._spec = spec
        self._devices = devices
        self._pieces = pieces
        self._conduct = conduct
        self._steps = len(devices) + 1 + len(PROBE_SIDES)
        self._done = 0

    def pieces(self, network: ov.Model, graph: Graph) -> Iterator[None]:
        """Yield after each piece."""
        missing = [device for device in self._devices if device not in self._pieces.times_ms]
        self._done = len(self._devices) - len(missing)
        if missing:
            self._profile(network, graph, missing)
            yield
        self._done = len(self._devices) + 1
        took_s = 0.0
        for side in PROBE_SIDES:
            started = time.perf_counter()
            if self._probed(side):
                continue
            if started + took_s > self._conduct.until_s:
                return
            self._cross(side)
            took_s = time.perf_counter() - started
            yield

    def _step(self, what: str) -> None:
        self._conduct.go_on()
        self._conduct.tell(what, self._done / self._steps)
        self._done += 1

    def _profile(self, network: ov.Model, graph: Graph, devices: Sequence[str]) -> None:
        profiles = {}
        for device in devices:
            self._step(f"compiling {self._spec.model} for {device} alone")
            wanted = properties(self._core, replace(self._spec, device=device)) | {"PERF_COUNT": "YES"}
            try:
                profiles[device] = _Profile(self._core.compile_model(network, device, wanted), graph)
            except RuntimeError as error:
                raise _unmeasured(f"{device} cannot run the network alone: {cause(error)}") from error
        self._step(f"timing each layer on {' and '.join(devices)}")
        for _ in _rounds():
            self._conduct.go_on()
            for profile in profiles.values():
                profile.run()
        for device, profile in profiles.items():
            if not profile.times_ms:
                raise _unmeasured(f"{device} does not tell how long its operations take")
            self._pieces.fused[device] = tuple(profile.fused)
            self._pieces.times_ms[device] = profile.times_ms

    def _ways(self) -> list[tuple[str, str]]:
        return list(itertools.permutations(self._devices, 2))

    def _probed(self, side: int) -> bool:
        known = self._pieces.crossing
        return all(_bytes(side) in known.get(f"{one}>{other}", {}) for one, other in self._ways())

    def _cross(self, side: int) -> None:
        """Time two operations on two devices against the same two on one."""
        self._step(f"timing how {_bytes(side) >> 10} KiB cross between {' and '.join(self._devices)}")
        probes = {}
        for pair in [*self._ways(), *((device, device) for device in self._devices)]:
            self._conduct.go_on()
            probes[pair] = _probe(self._core, self._spec, side, *pair)
        best = dict.fromkeys(probes, float("inf"))
        for _ in _rounds():
            for pair, request in probes.items():
                started = time.perf_counter()
                request.infer()
                best[pair] = min(best[pair], (time.perf_counter() - started) * 1e3)
        for one, other in self._ways():
            together = (best[one, one] + best[other, other]) / 2
            self._pieces.crossing.setdefault(f"{one}>{other}", {})[_bytes(side)] = best[one, other] - together


def _bytes(side: int) -> int:
    return 4 * PROBE_CHANNELS * side * side


def _rounds() -> Iterator[int]:
    started = time.perf_counter()
    for number in range(ROUNDS):
        if number >= ROUNDS_MIN and time.perf_counter() - started > ROUNDS_S:
            return
        yield number


def _unmeasured(message: str) -> CommandError:
    return CommandError(ErrorCode.INVALID_AFFINITY, message, "place by type, name or `first`, which needs no measuring")


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
    rest is the least squares through what is left, and ASSUMED_MS_PER_BYTE where nothing is.
    """
    (_, smallest), *others = sorted(points)
    fixed = max(0.0, smallest)
    if not others:
        return CrossingCost(fixed, ASSUMED_MS_PER_BYTE)
    sizes, costs = np.array(others).T
    return CrossingCost(fixed, max(0.0, float((sizes * (costs - fixed)).sum() / (sizes**2).sum())))
