"""A network of large convolutions alone: what a device can do where nothing holds it up."""

from dataclasses import replace

import numpy as np
import openvino as ov
from openvino import opset13

from agent.errors import EngineError
from agent.inference.devices import cause
from agent.inference.engine import Engine
from agent.inference.facts import read_facts
from agent.inference.properties import properties
from agent.inference.spec import EngineSpec

CONVOLUTIONS = 4
CHANNELS = 256
SIDE = 28
KERNEL = 3
"""Enough arithmetic for every value that is moved, and small enough for the caches of any device."""
GFLOP = CONVOLUTIONS * 2 * KERNEL**2 * CHANNELS**2 * SIDE**2 / 1e9
"""Of one inference; a multiply-accumulate counts as two."""
RANGE = 4.0
"""Of the values between two convolutions, whose deviation stays near 1."""


def convolutions(core: ov.Core, spec: EngineSpec) -> Engine:
    """Compile them for the device string, precision and threads of ``spec``, with a throughput hint.

    HETERO gives all of them to one device, its first where that can. Raises EngineError when the device cannot run
    them.
    """
    wanted = replace(spec, model="convolutions", hint="throughput", streams=None, requests=None, affinity=None)
    try:
        compiled = core.compile_model(
            _network(quantized=spec.precision == "INT8"), spec.device, properties(core, wanted)
        )
        return Engine(wanted, compiled, ("out",), read_facts(compiled, wanted, 0.0, 0.0))
    except RuntimeError as error:
        raise EngineError(f"{spec.device} cannot run convolutions at {spec.precision}: {cause(error)}") from error


def _network(*, quantized: bool) -> ov.Model:
    random = np.random.default_rng(0)
    bound = np.sqrt(6 / (CHANNELS * KERNEL**2))
    padding = [KERNEL // 2] * 2
    picture = opset13.parameter([1, CHANNELS, SIDE, SIDE], np.float32)
    values: ov.Node = picture
    for _ in range(CONVOLUTIONS):
        weights = random.uniform(-bound, bound, (CHANNELS, CHANNELS, KERNEL, KERNEL)).astype(np.float32)
        kernel: ov.Node = opset13.constant(weights)
        if quantized:
            values = _quantized(values, 0, RANGE, 256)
            kernel = _quantized(kernel, -bound, bound, 255)
        values = opset13.relu(opset13.convolution(values, kernel, [1, 1], padding, padding, [1, 1]))
    values.output(0).get_tensor().set_names({"out"})
    return ov.Model([opset13.result(values)], [picture])


def _quantized(values: ov.Node, low: float, high: float, levels: int) -> ov.Node:
    bounds = [opset13.constant(np.float32(bound)) for bound in (low, high)]
    return opset13.fake_quantize(values, *bounds, *bounds, levels)
