"""The limit: throughput of a compiled network without the application."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from agent.errors import EngineError
from agent.inference.engine import Engine, Slot


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
