"""The limit: what a compiled network does without the application, against what its device can do at all."""

from agent.benchmark.raw import raw_throughput
from agent.errors import EngineError
from agent.inference.devices import Core
from agent.inference.engine import Engine
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
