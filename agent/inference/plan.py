"""What an affinity would do to a network, told without running it."""

from collections import Counter

import openvino as ov

from agent.errors import EngineError
from agent.inference.affinity import Placement, place_operations
from agent.inference.devices import cause
from agent.inference.measure import Conduct
from agent.inference.spec import EngineSpec
from agent.inference.submodels import Submodels, cut
from agent.wire.affinity import Affinity, Boundary, Plan

DRAWN_MAX = 40
"""A picture with more submodels than this cannot be read; the others share one box."""


def plan(core: ov.Core, network: ov.Model, spec: EngineSpec, conduct: Conduct) -> Plan:
    """Plan ``spec.affinity``, OpenVINO's own placement where it is None.

    ``network`` has its input size and its preprocessing, the device string of ``spec`` is canonical. `split` and rules
    for the heaviest operations measure first, which takes seconds, as ``conduct`` says. Raises CommandError with
    ``invalid_affinity``, and EngineError when OpenVINO refuses the network.
    """
    affinity = spec.affinity or Affinity(preset="fallback")
    try:
        return describe(place_operations(core, network, spec, affinity, conduct), spec, affinity)
    except RuntimeError as error:
        raise EngineError(f"{spec.device} cannot plan {spec.model} at {spec.precision}: {cause(error)}") from error


def describe(placement: Placement, spec: EngineSpec, affinity: Affinity) -> Plan:
    """A placement as it is told."""
    graph, devices = placement.graph, placement.devices
    submodels = cut(graph, devices)
    boundaries = tuple(
        Boundary(
            source=devices[crossing.operation],
            target=submodels.devices[crossing.target],
            operation=graph.operations[crossing.operation].name,
            bytes=graph.operations[crossing.operation].outputs[crossing.output],
        )
        for crossing in submodels.crossings
        if devices[crossing.operation] != submodels.devices[crossing.target]
    )
    return Plan(
        device=spec.device,
        affinity=affinity,
        operations=dict(Counter(devices[place] for place in graph.running)),
        submodels=len(submodels.devices),
        boundaries=boundaries,
        bytes_moved=sum(boundary.bytes for boundary in boundaries),
        moved=dict(placement.moved),
        expected=placement.expected,
        mermaid=draw(placement, submodels),
    )


def draw(placement: Placement, submodels: Submodels) -> str:
    """A Mermaid flowchart: a box for each submodel, coloured by device, an arrow for what it hands to another."""
    graph = placement.graph
    sizes = Counter(submodels.member[place] for place in graph.running)
    shown = len(submodels.devices) if len(submodels.devices) <= DRAWN_MAX else DRAWN_MAX - 1
    arrows: dict[tuple[str, str], list[int]] = {}
    for crossing in submodels.crossings:
        source = submodels.member[crossing.operation]
        if min(source, crossing.target) < shown:
            way = (_box(source, shown), _box(crossing.target, shown))
            arrows.setdefault(way, []).append(graph.operations[crossing.operation].outputs[crossing.output])
    lines = ["flowchart TD"]
    for number, device in enumerate(submodels.devices[:shown]):
        style = _style(sorted(set(submodels.devices)).index(device))
        lines.append(f'    s{number}["{number + 1}: {device}<br/>{_count(sizes[number], "operation")}"]:::{style}')
    if rest := len(submodels.devices) - shown:
        lines.append(f'    rest["{rest} more submodels, not drawn"]')
    lines += [f'    {source} -->|"{_label(tensors)}"| {target}' for (source, target), tensors in arrows.items()]
    lines += [f"    classDef {_style(number)} fill:{fill},color:#000" for number, fill in enumerate(FILLS)]
    return "\n".join(lines) + "\n"


FILLS = ("#cfe8ff", "#ffe3b3", "#d5f0c9", "#f3d1f0")


def _style(number: int) -> str:
    return f"device{number % len(FILLS)}"


def _box(number: int, shown: int) -> str:
    return f"s{number}" if number < shown else "rest"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _label(tensors: list[int]) -> str:
    size = f"{sum(tensors) / 1024:.0f} KiB" if sum(tensors) >= 1024 else f"{sum(tensors)} B"
    return size if len(tensors) == 1 else f"{len(tensors)} tensors, {size}"
