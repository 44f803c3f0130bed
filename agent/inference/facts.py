"""What OpenVINO reports of a compiled network."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import openvino as ov

from agent.inference.spec import EngineFacts, EngineSpec
from agent.wire.devices import DeviceString, canonical

Properties = Mapping[str, Any]
UNKNOWN: Final = "UNKNOWN"
"""The precision of what does not say: HETERO in many pieces, taken from the cache, was seen to."""
KERNEL_PRECISION: Final = re.compile(r"_(f32|f16|bf16)$", re.IGNORECASE)
"""At the end of a kernel's name."""


def read_facts(compiled: ov.CompiledModel, spec: EngineSpec, compile_ms: float, first_infer_ms: float) -> EngineFacts:
    """Ask a compiled network what it really is. The devices are those that run it: of AUTO, which it picked."""
    members = members_of(compiled)
    return EngineFacts(
        execution_devices=execution_devices(compiled) or (spec.device,),
        model_precision=spec.precision,
        inference_precision=_kernel_precision(compiled) or hinted_precision(compiled, members),
        submodels=_ask(compiled, "HETERO_NUMBER_OF_SUBMODELS"),
        infer_requests=ring_size(spec, int(_ask(compiled, "OPTIMAL_NUMBER_OF_INFER_REQUESTS") or 1)),
        compile_ms=compile_ms,
        first_infer_ms=first_infer_ms,
        from_cache=bool(_ask(compiled, "LOADED_FROM_CACHE")),
        streams=_number(compiled, members, "NUM_STREAMS"),
        threads=_number(compiled, members, "INFERENCE_NUM_THREADS"),
    )


def execution_devices(compiled: ov.CompiledModel) -> tuple[str, ...]:
    """The devices that run a compiled network, canonical; none where it does not say."""
    told = _ask(compiled, "EXECUTION_DEVICES") or ()
    return tuple(canonical(name.strip("()")) for name in ([told] if isinstance(told, str) else told))


def ring_size(spec: EngineSpec, optimal: int) -> int:
    """Infer requests of a ring: what the device works on, which MULTI sums over its devices, and one being prepared.

    BATCH binds each request to a batch when it is made, so that a ring which is no multiple of the batch leaves one
    that is never full and waits for its timeout each time.
    """
    requests = (spec.requests or optimal) + 1
    device = DeviceString.parse(spec.device)
    if device.mode != "BATCH":
        return requests
    batch = device.batch or optimal
    return math.ceil(requests / batch) * batch


def _ask(compiled: ov.CompiledModel, name: str) -> Any:  # noqa: ANN401 - OpenVINO's property values are of many types
    try:
        return compiled.get_property(name)
    except RuntimeError:
        return None  # HETERO, MULTI and AUTO do not answer every property


def members_of(compiled: ov.CompiledModel) -> tuple[Properties, ...]:
    """What each of several devices says of its part; none of a single one.

    To be asked once: OpenVINO 2026.4 never frees the names in its answer, 2.5 kB each time.
    """
    return tuple((_ask(compiled, "DEVICE_PROPERTIES") or {}).values())


def _number(compiled: ov.CompiledModel, members: Sequence[Properties], name: str) -> int | None:
    """A whole number that the network tells of itself, or that its devices tell, added up; None where none does."""
    if (told := _ask(compiled, name)) is not None:
        return _whole(told)
    numbers = [number for each in members if (number := _whole(each.get(name))) is not None]
    return sum(numbers) if numbers else None


def _whole(told: object) -> int | None:
    try:
        number = int(str(told))
    except ValueError:  # AUTO and NUMA stand for a choice that was not made
        return None
    return number if number > 0 else None


def _kernel_precision(compiled: ov.CompiledModel) -> str | None:
    """The precision most convolutions run in: an f16 hint can run as bf16, so the hint alone proves nothing.

    Nor does the runtime precision of an operation alone: on a processor with nothing below f32, the CPU plugin names
    that of weights kept in f16, while the kernel it has chosen, whose name ends in what it computes in, is one of f32.
    """
    try:
        nodes = compiled.get_runtime_model().get_ordered_ops()
    except RuntimeError:
        nodes = []
    counts: Counter[str] = Counter()
    for node in nodes:
        info = node.get_rt_info()
        if "layerType" in info and "runtimePrecision" in info and "onvolution" in info["layerType"].astype(str):
            kernel = KERNEL_PRECISION.search(info["primitiveType"].astype(str)) if "primitiveType" in info else None
            counts[kernel[1] if kernel else info["runtimePrecision"].astype(str)] += 1
    return counts.most_common(1)[0][0].upper() if counts else None


def hinted_precision(compiled: ov.CompiledModel, members: Sequence[Properties]) -> str:
    """The precision that was asked for, as the devices have understood it."""
    hints = [_ask(compiled, "INFERENCE_PRECISION_HINT")]
    if hints == [None]:
        hints = [properties.get("INFERENCE_PRECISION_HINT") for properties in members]
    names = sorted({hint.get_type_name().upper() for hint in hints if isinstance(hint, ov.Type)})
    return "/".join(names) or UNKNOWN
