"""The limit: what a compiled network does without the application, against what its device can do at all."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from agent.errors import EngineError
from agent.inference.devices import Core
from agent.inference.engine import Engine, Slot
from agent.inference.peak import GFLOP, convolutions
from agent.wire.study import Limit

PEAK_ROUNDS = 4
PEAK_ROUND_S = 0.5
"""Of a peak the best round counts: what else the machine does only ever makes one slower."""


class Limits:
    """Measures limits; what a device reaches at a precision is measured once.

    ``core`` is what :func:`agent.inference.devices.open_core` gave.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._peaks: dict[tuple[str, str, int | None], float | None] = {}

    def limit(self, engine: Engine, gflops_per_frame: float, seconds: float) -> Limit:
        """Raw throughput of an idle engine over ``seconds``, and the peak of its device string. Raises EngineError."""
        raw = raw_throughput(engine, seconds)
        return Limit(raw_fps=raw, gflops=raw * gflops_per_frame, peak_gflops=self._peak(engine))

    def _peak(self, engine: Engine) -> float | None:
        spec = engine.spec
        key = spec.device, spec.precision, spec.threads
        if key not in self._peaks:
            try:
                with convolutions(self._core, spec) as convolving:
                    rounds = [raw_throughput(convolving, PEAK_ROUND_S) for _ in range(PEAK_ROUNDS)]
                self._peaks[key] = max(rounds) * GFLOP
            except EngineError:
                self._peaks[key] = None
        return self._peaks[key]


def raw_throughput(engine: Engine, seconds: float) -> float:
    """Inferences per second, measured as OpenVINO's benchmark_app does for a throughput hint.

    Random input, as many infer requests in flight as the device finds optimal, each started again as soon as it is
    done whatever the others do, nothing read from the outputs. The engine must be idle. Raises EngineError.
    """
    random = np.random.default_rng(0)
    flight: list[Slot] = []
    try:
        # The ring holds one request more than the optimum; that one is the application's.
        for _ in range(engine.facts.infer_requests - 1):
            slot = engine.acquire(timeout_s=1.0)
            if slot is None:
                raise EngineError("the engine is busy: its raw throughput cannot be measured")
            flight.append(slot)
            slot.input[:] = random.integers(0, 256, slot.input.shape, np.uint8)
        began = time.perf_counter()
        with ThreadPoolExecutor(len(flight)) as pool:
            counts = pool.map(lambda slot: _repeat(slot, began + seconds), flight)
        return sum(counts) / (time.perf_counter() - began)
    finally:
        for slot in flight:
            engine.release(slot)


def _repeat(slot: Slot, until_s: float) -> int:
    """Inferences of one request until a moment of time.perf_counter(), the one that is under way then included."""
    finished = 0
    while time.perf_counter() < until_s or not finished:
        slot.start()
        slot.wait()
        finished += 1
    return finished
