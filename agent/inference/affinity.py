"""From an affinity to the device of each operation."""

import difflib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import openvino as ov

from agent.inference.devices import cause
from agent.inference.graph import RESULT, Graph, read_graph, settle_shapes
from agent.inference.measure import Conduct, measure
from agent.inference.spec import EngineSpec
from agent.inference.split import choose
from agent.wire.affinity import Affinity, Expected, Match, Rule
from agent.wire.commands import CommandError, ErrorCode
from agent.wire.devices import DeviceString, canonical

CONVOLUTIONS = ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData")
"""What the preset `convolutions` places on the first device."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the operations of a network go."""

    graph: Graph
    devices: tuple[str, ...]
    """Of each operation of the graph."""
    written: bool
    """Whether the network carries it; where not, OpenVINO finds the same by itself."""
    moved: Mapping[str, int] = field(default_factory=dict)
    """Operations that were wanted where they cannot run, by type."""
    expected: Expected | None = None


def place_operations(
    core: ov.Core, network: ov.Model, spec: EngineSpec, affinity: Affinity, conduct: Conduct
) -> Placement:
    """Find the device of each operation, and write it into the network unless that is OpenVINO's own choice.

    ``network`` has its input size and its preprocessing; its known shapes become constants. ``conduct`` is of what has
    to be measured. Raises CommandError with ``invalid_affinity``.
    """
    members = _members(spec, affinity)
    settle_shapes(network)
    graph = read_graph(network)
    own = core.query_model(network, spec.device)
    home = {place: canonical(own.get(graph.operations[place].name, members[-1])) for place in graph.running}
    if affinity.preset == "fallback":
        return Placement(graph, spread(graph, home), written=False)
    expected = None
    if affinity.preset == "split":
        chosen = choose(graph, measure(core, network, graph, spec, members, conduct))
        wanted, expected = chosen.devices, chosen.expected
    elif affinity.preset == "convolutions":
        wanted = {place: members[0 if graph.operations[place].type in CONVOLUTIONS else 1] for place in graph.running}
    else:
        heavy: Sequence[int] = ()
        if any(rule.match.heaviest for rule in affinity.rules):
            heavy = measure(core, network, graph, spec, members, conduct).heaviest(members[-1])
        wanted = ruled(graph, affinity, heavy)
    can = {device: _runs(core, network, device) for device in members}
    moved: Counter[str] = Counter()
    for place, device in wanted.items():
        operation = graph.operations[place]
        if operation.name in can[device]:
            home[place] = device
        elif device != home[place]:
            moved[operation.type] += 1
    devices = spread(graph, home)
    _write(network, devices)
    return Placement(graph, devices, True, dict(moved), expected)


def ruled(graph: Graph, affinity: Affinity, heavy: Sequence[int] = ()) -> dict[int, str]:
    """What the rules say: place of an operation to device; nothing where OpenVINO is to decide.

    ``heavy`` are the operations from the slowest to the fastest, needed only by a rule for the heaviest. Raises
    CommandError for a rule that matches no operation.
    """
    wanted = dict.fromkeys(graph.running, canonical(affinity.default)) if affinity.default else {}
    for rule in reversed(affinity.rules):
        matched = _matched(graph, rule.match, heavy)
        if not matched:
            raise _matches_nothing(graph, rule)
        wanted |= dict.fromkeys(matched, canonical(rule.device))
    return wanted


def spread(graph: Graph, running: Mapping[int, str]) -> tuple[str, ...]:
    """The devices of all operations, from those of the operations that run.

    Constants, and what is computed from them alone, go with the first operation they feed, so that weights never cross;
    so does the network's input. Outputs go where they are made.
    """
    devices = [running.get(place, "") for place in range(len(graph.operations))]
    anywhere = next(iter(running.values()))
    for place in reversed(range(len(devices))):
        if not devices[place]:
            devices[place] = next((devices[reader] for reader, _output in graph.consumers[place]), anywhere)
    for place, operation in enumerate(graph.operations):
        if operation.type == RESULT:
            devices[place] = devices[operation.inputs[0][0]]
    return tuple(devices[graph.by_name[operation.name]] for operation in graph.operations)


def _members(spec: EngineSpec, affinity: Affinity) -> tuple[str, ...]:
    device = DeviceString.parse(spec.device)
    if device.mode != "HETERO":
        raise CommandError(
            ErrorCode.INVALID_AFFINITY,
            f"an affinity needs a HETERO device, and the device is {device}",
            "choose one first: `controller set-device <id> HETERO:GPU,CPU`",
        )
    strangers = [name for name in affinity.devices() if canonical(name) not in device.members]
    if strangers:
        raise CommandError(
            ErrorCode.INVALID_AFFINITY,
            f"the rules name {', '.join(strangers)}, of which {device} knows nothing",
            f"its devices are {', '.join(device.members)}",
        )
    if affinity.preset in ("convolutions", "split") and len(device.members) < 2:
        raise CommandError(
            ErrorCode.INVALID_AFFINITY,
            f"`{affinity.preset}` needs two devices, and {device} has one",
            "choose a device string with two: `controller set-device <id> HETERO:GPU,CPU`",
        )
    return device.members


def _runs(core: ov.Core, network: ov.Model, device: str) -> frozenset[str]:
    try:
        return frozenset(core.query_model(network, device))
    except RuntimeError as error:
        raise CommandError(
            ErrorCode.INVALID_AFFINITY, f"{device} does not say what it can run: {cause(error)}"
        ) from error


def _matched(graph: Graph, match: Match, heavy: Sequence[int]) -> Sequence[int]:
    if match.type is not None:
        return [place for place in graph.running if graph.operations[place].type == match.type]
    if match.name is not None:
        return [place for place in graph.running if fnmatchcase(graph.operations[place].name, match.name)]
    if match.first is not None:
        return graph.running[: math.ceil(match.first * len(graph.running))]
    return heavy[: match.heaviest]


def _matches_nothing(graph: Graph, rule: Rule) -> CommandError:
    match = rule.match
    if match.type is not None:
        types = sorted({graph.operations[place].type for place in graph.running})
        by_lower = {name.lower(): name for name in types}
        close = difflib.get_close_matches(match.type.lower(), by_lower, n=1, cutoff=0.6)
        hint = f"did you mean {by_lower[close[0]]}? " if close else ""
        hint += f"types in this network: {', '.join(types)}"
        return CommandError(ErrorCode.INVALID_AFFINITY, f"no operation is of type {match.type!r}", hint)
    example = graph.operations[graph.running[len(graph.running) // 2]].name
    return CommandError(
        ErrorCode.INVALID_AFFINITY,
        f"no operation's name matches {match.name!r}",
        f"names of this network look like {example}",
    )


def _write(network: ov.Model, devices: Sequence[str]) -> None:
    """Write the devices down, of all operations: OpenVINO refuses a map that leaves one out."""
    for node, device in zip(network.get_ordered_ops(), devices, strict=True):
        node.get_rt_info()["affinity"] = device
