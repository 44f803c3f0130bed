"""One compiled network and its ring of infer requests."""

import queue
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino.preprocess import ColorFormat, PrePostProcessor

from agent.capture.frame import Image
from agent.errors import EngineError
from agent.inference.devices import require_devices
from agent.inference.spec import EngineFacts, EngineSpec
from models.catalogue import NetworkCard

Floats = NDArray[np.float32]

PRECISION_HINT = {"FP32": "f32", "FP16": "f16", "INT8": None}
"""INFERENCE_PRECISION_HINT per requested precision. Left alone, the CPU plugin would run FP32 in BF16."""


class Slot:
    """One infer request: write ``input``, start, wait, read ``outputs``, release."""

    def __init__(self, request: ov.InferRequest, outputs: Sequence[ov.ConstOutput]) -> None:
        self._request = request
        self.input: Image = request.get_input_tensor().data[0]
        """uint8 (H, W, 3) BGR, memory of the request."""
        # A network that selects people itself has as many rows as it found: those are read after each inference.
        self._unbound = outputs if any(output.partial_shape.is_dynamic for output in outputs) else ()
        # The others are bound once, so that reading costs no call into OpenVINO and no device may move them.
        bound = () if self._unbound else outputs
        self.outputs: tuple[Floats, ...] = tuple(np.empty(list(output.shape), np.float32) for output in bound)
        """float32, in the order of the decoder's roles; valid from wait until the slot is released."""
        for output, array in zip(bound, self.outputs, strict=True):
            request.set_tensor(output, ov.Tensor(array, shared_memory=True))

    def start(self) -> None:
        """Start inference on what ``input`` holds; returns at once."""
        self._request.start_async()

    def wait(self) -> None:
        """Wait for the result. Raises EngineError when inference failed."""
        try:
            self._request.wait()
        except RuntimeError as error:
            raise EngineError(f"inference failed: {first_line(error)}") from error
        if self._unbound:
            self.outputs = tuple(np.array(self._request.get_tensor(port).data, np.float32) for port in self._unbound)

    @property
    def latency_ms(self) -> float:
        """From start to result, as OpenVINO measured it."""
        return float(self._request.latency)


class Engine:
    """A compiled network that is fed by acquire, start, wait and release of its slots.

    The ring holds one request more than the device works on, so that the next frame is prepared while it computes and
    the device never waits. One thread starts and another waits, in order: no Python callback runs on OpenVINO's
    threads.
    """

    def __init__(
        self, spec: EngineSpec, compiled: ov.CompiledModel, tensors: tuple[str, ...], facts: EngineFacts
    ) -> None:
        self.spec = spec
        self.facts = facts
        self.generation = 1
        """Grows by one at every switch; the pipeline stamps results with it."""
        self._compiled = compiled
        self._idle: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        outputs = [compiled.output(tensor) for tensor in tensors]
        for _ in range(facts.infer_requests):
            self._idle.put(Slot(compiled.create_infer_request(), outputs))

    def acquire(self, timeout_s: float) -> Slot | None:
        """An idle slot, or None when all are still busy after ``timeout_s``."""
        try:
            return self._idle.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def release(self, slot: Slot) -> None:
        """Give a slot back."""
        self._idle.put(slot)

    def close(self) -> None:
        """Wait for what still runs and free the device's memory."""
        for _ in range(self.facts.infer_requests):
            if self.acquire(timeout_s=5.0) is None:
                break
        del self._compiled

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def build_engine(
    core: ov.Core,
    card: NetworkCard,
    xml: Path,
    spec: EngineSpec,
    roles: tuple[str, ...],
    cache: Path | None,
) -> Engine:
    """Compile ``card``'s network from its IR for ``spec`` and run it once.

    ``roles`` are the outputs the decoder reads. ``cache`` is the folder of compiled networks, None for no cache.
    Raises EngineError when the device is missing or cannot compile or run the network.
    """
    require_devices(core, spec.device)
    if missing := set(roles) - set(card.decoder.outputs):
        raise EngineError(f"the card of {card.name} names no output for {', '.join(sorted(missing))}")
    try:
        network = with_preprocessing(core.read_model(xml), card, spec)
        started = time.perf_counter()
        compiled = core.compile_model(network, spec.device, _properties(spec, cache))
        compile_ms = (time.perf_counter() - started) * 1e3
        first_infer_ms = _first_inference(compiled)
        tensors = tuple(card.decoder.outputs[role] for role in roles)
        return Engine(spec, compiled, tensors, _facts(compiled, spec, compile_ms, first_infer_ms))
    except RuntimeError as error:
        raise EngineError(f"{spec.device} cannot run {spec.model} at {spec.precision}: {first_line(error)}") from error


def with_preprocessing(network: ov.Model, card: NetworkCard, spec: EngineSpec) -> ov.Model:
    """Fix the input size and put colour, type and layout conversion into the graph: it then takes u8 BGR NHWC."""
    size = (spec.height, spec.width)
    network.reshape([1, *size, 3] if card.input.layout == "NHWC" else [1, 3, *size])
    steps = PrePostProcessor(network)
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC")).set_color_format(ColorFormat.BGR)
    steps.input().preprocess().convert_element_type(ov.Type.f32)
    if card.input.colour == "RGB":
        steps.input().preprocess().convert_color(ColorFormat.RGB)
    if any(card.input.mean):
        steps.input().preprocess().mean(list(card.input.mean))
    if any(divisor != 1 for divisor in card.input.scale):
        steps.input().preprocess().scale(list(card.input.scale))
    steps.input().model().set_layout(ov.Layout(card.input.layout))
    return steps.build()


def _properties(spec: EngineSpec, cache: Path | None) -> dict[str, Any]:
    properties: dict[str, Any] = {"PERFORMANCE_HINT": spec.hint.upper()}
    wanted = {
        "INFERENCE_PRECISION_HINT": PRECISION_HINT[spec.precision],
        "NUM_STREAMS": spec.streams,
        "PERFORMANCE_HINT_NUM_REQUESTS": spec.requests,
        "INFERENCE_NUM_THREADS": spec.threads,
        # One folder per device string: OpenVINO reuses the blob of HETERO:A,B for HETERO:B,A.
        "CACHE_DIR": str(cache / spec.device.replace(":", "_").replace(",", "+")) if cache else None,
    }
    return properties | {name: value for name, value in wanted.items() if value is not None}


def _first_inference(compiled: ov.CompiledModel) -> float:
    """Milliseconds of the first inference, which is where a lazy device still compiles. Raises on NaN output."""
    request = compiled.create_infer_request()
    started = time.perf_counter()
    request.infer()
    elapsed_ms = (time.perf_counter() - started) * 1e3
    for tensor in request.output_tensors:
        if not np.isfinite(tensor.data).all():
            raise RuntimeError("the network's output is not finite")
    return elapsed_ms


def _facts(compiled: ov.CompiledModel, spec: EngineSpec, compile_ms: float, first_infer_ms: float) -> EngineFacts:
    def ask(name: str) -> Any:  # noqa: ANN401 - OpenVINO's property values are of many types
        try:
            return compiled.get_property(name)
        except RuntimeError:
            return None  # HETERO and AUTO do not answer every property

    devices = ask("EXECUTION_DEVICES")
    optimal = int(ask("OPTIMAL_NUMBER_OF_INFER_REQUESTS") or 1)
    return EngineFacts(
        execution_devices=tuple([devices] if isinstance(devices, str) else devices or [spec.device]),
        model_precision=spec.precision,
        inference_precision=_runtime_precision(compiled, lambda: ask("INFERENCE_PRECISION_HINT")),
        submodels=ask("HETERO_NUMBER_OF_SUBMODELS"),
        infer_requests=(spec.requests or optimal) + 1,
        compile_ms=compile_ms,
        first_infer_ms=first_infer_ms,
        from_cache=bool(ask("LOADED_FROM_CACHE")),
    )


def _runtime_precision(compiled: ov.CompiledModel, hint: Callable[[], Any]) -> str:
    """The precision most convolutions run in: an f16 hint can run as bf16, so the hint alone proves nothing."""
    try:
        nodes = compiled.get_runtime_model().get_ordered_ops()
    except RuntimeError:
        nodes = []
    counts: dict[str, int] = {}
    for node in nodes:
        info = node.get_rt_info()
        if "layerType" in info and "runtimePrecision" in info and "onvolution" in info["layerType"].astype(str):
            name = info["runtimePrecision"].astype(str)
            counts[name] = counts.get(name, 0) + 1
    if counts:
        return max(counts, key=lambda name: counts[name]).upper()
    value = hint()
    return value.get_type_name().upper() if isinstance(value, ov.Type) else "UNKNOWN"


def first_line(error: BaseException) -> str:
    """The one line of an OpenVINO error that says what happened, without its source locations."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(("Exception from", "Check '"))]
    return (telling or lines or [type(error).__name__])[-1]
