"""One compiled network and its ring of infer requests."""

import queue
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import openvino as ov
import structlog
from numpy.typing import NDArray
from openvino.preprocess import ColorFormat, PrePostProcessor

from agent.capture.frame import Frame, Image
from agent.errors import EngineError, TrialError
from agent.inference.affinity import place_operations
from agent.inference.devices import cause, openvino_name, require_devices
from agent.inference.facts import execution_devices, read_facts
from agent.inference.letterbox import PADDING, Letterbox, prepare
from agent.inference.measure import Conduct
from agent.inference.plan import describe
from agent.inference.properties import cache_folder, properties
from agent.inference.spec import EngineFacts, EngineSpec
from agent.service import memory
from agent.wire.devices import DeviceString
from models.shelf.catalogue import NetworkCard

log = structlog.get_logger()

Floats = NDArray[np.float32]

CURE = "another device or precision may run it; `agent doctor` says what this box lacks"


class Places:
    """How many requests compute at a time. Whoever starts beyond that is started by the next one that ends.

    Under the latency hint a processor has all its cores work on one request: a second one beside it makes both slower,
    and more than twice as slow. The one that ends starts the next in the thread that waits for it, so that the device
    stands still for no longer than that thread needs to wake.
    """

    def __init__(self, free: int | None) -> None:
        self._free = free
        """None: as many as are started."""
        self._waiting: deque[Slot] = deque()
        self._lock = threading.Lock()

    def start(self, slot: "Slot") -> None:
        """Start a slot, or have it wait for a place. Raises RuntimeError where OpenVINO cannot start it."""
        if self._free is None:
            slot.compute()
            return
        with self._lock:
            if not self._free:
                self._waiting.append(slot)
                return
            self._free -= 1
        try:
            slot.compute()
        except BaseException:
            self.ended()
            raise

    def ended(self) -> None:
        """Give the place of a slot that has ended to whoever waits for one."""
        if self._free is None:
            return
        while True:
            with self._lock:
                if not self._waiting:
                    self._free += 1
                    return
                slot = self._waiting.popleft()
            if slot.computes():
                return


class Slot:
    """One infer request: write ``input``, start, wait, read ``outputs``, release. Slots are waited for in order."""

    def __init__(
        self, request: ov.InferRequest, outputs: Sequence[ov.ConstOutput], places: Places, *, centred: bool = False
    ) -> None:
        self._request = request
        self._centred = centred
        self._places = places
        self._refused: RuntimeError | None = None
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

    def take(self, frame: Frame, *, alone: bool = False) -> Letterbox:
        """Write the frame, letterboxed, into ``input``."""
        return prepare(frame, self.input, centred=self._centred)

    def start(self) -> None:
        """Start inference on what ``input`` holds, now or when there is a place for it; returns at once."""
        self._places.start(self)

    def compute(self) -> None:
        """Hand the request to OpenVINO. Raises RuntimeError."""
        self._request.start_async()

    def computes(self) -> bool:
        """Hand it over from another slot's thread; what OpenVINO says against it is told by :meth:`wait`."""
        try:
            self.compute()
        except RuntimeError as error:
            self._refused = error
        return self._refused is None

    def wait(self) -> None:
        """Wait for the result. Raises EngineError when inference failed."""
        if self._refused is not None:  # it never had a place
            error, self._refused = self._refused, None
            raise EngineError(f"inference failed: {cause(error)}") from error
        try:
            self._request.wait()
        except RuntimeError as error:
            raise EngineError(f"inference failed: {cause(error)}") from error
        finally:
            self._places.ended()
        if self._unbound:
            self.outputs = tuple(np.array(self._request.get_tensor(port).data, np.float32) for port in self._unbound)

    @property
    def latency_ms(self) -> float:
        """From start to result, as OpenVINO measured it."""
        return float(self._request.latency)

    @property
    def stages_ms(self) -> tuple[float, float] | None:
        """There is one stage."""
        return None


class Engine:
    """A compiled network that is fed by acquire, start, wait and release of its slots.

    The ring holds one request more than the device works on, so that the next frame is prepared while it computes and
    the device never waits. One thread starts and another waits, in order: no Python callback runs on OpenVINO's
    threads. Under the latency hint on a processor the one more is prepared and not started before there is a place.
    """

    def __init__(
        self,
        spec: EngineSpec,
        compiled: ov.CompiledModel,
        tensors: tuple[str, ...],
        facts: EngineFacts,
        *,
        centred: bool = False,
    ) -> None:
        self.spec = spec
        self.facts = facts
        self.generation = 1
        """Grows by one at every switch; the pipeline stamps results with it."""
        self._compiled = compiled
        self._may_move = DeviceString.parse(spec.device).mode in ("AUTO", "MULTI")
        self._idle: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        outputs = [compiled.output(tensor) for tensor in tensors]
        places = Places(places_of(spec, facts))
        for _ in range(facts.infer_requests):
            self._idle.put(Slot(compiled.create_infer_request(), outputs, places, centred=centred))

    def acquire(self, timeout_s: float) -> Slot | None:
        """An idle slot, or None when all are still busy after ``timeout_s``."""
        try:
            return self._idle.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def release(self, slot: Slot) -> None:
        """Give a slot back. Where AUTO or MULTI has left a device that failed, the facts say so from now on."""
        if self._may_move:
            self._notice()
        self._idle.put(slot)

    def _notice(self) -> None:
        runs, before = execution_devices(self._compiled), self.facts.execution_devices
        if runs and set(runs) != set(before):
            self.facts = replace(self.facts, execution_devices=runs)
            log.warning("engine.moved", device=self.spec.device, before=",".join(before), now=",".join(runs))

    def close(self) -> None:
        """Wait for what still runs and give its memory back."""
        for _ in range(self.facts.infer_requests):
            if self.acquire(timeout_s=5.0) is None:
                break
        self._may_move = False
        del self._compiled
        memory.give_back()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def places_of(spec: EngineSpec, facts: EngineFacts) -> int | None:
    """How many requests may compute at a time: all but the one that is prepared, or None for as many as there are.

    A device of its own has a queue of its own, and BATCH waits until a batch is full.
    """
    on_processor = any("CPU" in name for name in facts.execution_devices)
    if spec.hint != "latency" or not on_processor or DeviceString.parse(spec.device).mode == "BATCH":
        return None
    return facts.infer_requests - 1


def build_engine(
    core: ov.Core,
    card: NetworkCard,
    xml: Path,
    spec: EngineSpec,
    roles: tuple[str, ...],
    cache: Path | None,
    conduct: Conduct | None = None,
) -> Engine:
    """Compile ``card``'s network from its IR for ``spec`` and run it once.

    The device string may be in any case; the engine's own spec has the canonical one. ``roles`` are the outputs the
    decoder reads. ``cache`` is the folder of compiled networks, None for no cache. ``conduct`` is of what an affinity
    has to measure first.

    Raises EngineError when the device is missing or cannot compile or run the network, TrialError when its output is
    not finite, and CommandError with ``invalid_affinity`` for an affinity that cannot be.
    """
    device = require_devices(core, spec.device)
    spec = replace(spec, device=str(device))
    if missing := set(roles) - set(card.decoder.outputs):
        raise EngineError(f"the card of {card.name} names no output for {', '.join(sorted(missing))}")
    cannot = f"{spec.device} cannot run {spec.model} at {spec.precision}"
    try:
        network = with_preprocessing(core.read_model(xml), card, spec)
        placement = (
            place_operations(core, network, spec, spec.affinity, conduct or Conduct()) if spec.affinity else None
        )
        wanted = properties(core, spec)
        if cache:
            written = placement.devices if placement and placement.written else None
            wanted["CACHE_DIR"] = str(cache_folder(cache, spec.device, written))
        started = time.perf_counter()
        compiled = core.compile_model(network, openvino_name(core, device), wanted)
        compile_ms = (time.perf_counter() - started) * 1e3
        if device.mode == "MULTI":
            _require_all(core, network, spec, _left_out(device.members, execution_devices(compiled)))
        first_infer_ms, finite = _first_inference(compiled)
        if not finite:
            raise TrialError(f"{cannot}: the network's output is not finite", hint=CURE)
        facts = replace(
            read_facts(compiled, spec, compile_ms, first_infer_ms),
            plan=describe(placement, spec, spec.affinity) if placement and spec.affinity else None,
        )
        tensors = tuple(card.decoder.outputs[role] for role in roles)
        return Engine(spec, compiled, tensors, facts, centred=card.decoder.centred)
    except RuntimeError as error:
        raise EngineError(f"{cannot}: {cause(error)}", hint=CURE) from error


def _left_out(members: Sequence[str], running: Sequence[str]) -> tuple[str, ...]:
    """The members that do not run. To MULTI every name with CPU in it is the one processor, of which one name runs."""
    processor = any("CPU" in name for name in running)
    return tuple(name for name in members if name not in running and not (processor and "CPU" in name))


def _require_all(core: ov.Core, network: ov.Model, spec: EngineSpec, missing: Sequence[str]) -> None:
    """MULTI goes on without a device that cannot compile: that is refused, with what the device itself says."""
    for name in missing:
        alone = replace(spec, device=name)
        try:
            core.compile_model(network, name, properties(core, alone))
        except RuntimeError as error:
            raise EngineError(f"{spec.device} would run without {name}: {cause(error)}", hint=CURE) from error
        raise EngineError(f"{spec.device} would run without {name}, which does not say why", hint=CURE)


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


def _first_inference(compiled: ov.CompiledModel) -> tuple[float, bool]:
    """Milliseconds of the first inference, where a lazy device still compiles, and whether all it answers is finite."""
    request = compiled.create_infer_request()
    request.get_input_tensor().data[:] = PADDING  # else whatever the memory held
    started = time.perf_counter()
    request.infer()
    elapsed_ms = (time.perf_counter() - started) * 1e3
    return elapsed_ms, all(np.isfinite(tensor.data).all() for tensor in request.output_tensors)
