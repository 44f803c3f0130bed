"""The limit: throughput of a compiled network without the application."""

import time
from collections import deque

import numpy as np

from agent.errors import EngineError
from agent.inference.engine import Engine, Slot


def raw_throughput(engine: Engine, seconds: float) -> float:
    """Inferences per second, measured as OpenVINO's benchmark_app does for a throughput hint.

    Random input, as many infer requests in flight as the device finds optimal, each started again as soon as it is
    done, nothing read from the outputs. The engine must be idle.
    """
    random = np.random.default_rng(0)
    flight: deque[Slot] = deque()
    # The ring holds one request more than the optimum; that one is the application's.
    for _ in range(engine.facts.infer_requests - 1):
        slot = engine.acquire(timeout_s=5.0)
        if slot is None:
            raise EngineError("the engine is busy: its raw throughput cannot be measured")
        slot.input[:] = random.integers(0, 256, slot.input.shape, np.uint8)
        flight.append(slot)
    for slot in flight:
        slot.start()
    began = time.perf_counter()
    finished = 0
    while time.perf_counter() - began < seconds:
        flight[0].wait()
        flight[0].start()
        flight.rotate(-1)
        finished += 1
    for slot in flight:
        slot.wait()
        finished += 1
    elapsed = time.perf_counter() - began
    for slot in flight:
        engine.release(slot)
    return finished / elapsed
