"""Runs and meters for tests: what the machine did is what the test says."""

from agent.benchmark.load import Load
from agent.wire.study import Run

QUIET = Load(cpu_percent=100.0, others_percent=1.0, rss_mb=100.0, temperature_c=None, throttled=None)
NOISY = Load(cpu_percent=100.0, others_percent=60.0, rss_mb=100.0, temperature_c=None, throttled=None)


class Told:
    """A meter that measures nothing."""

    def __init__(self, load: Load = QUIET) -> None:
        self._load = load

    def start(self) -> None:
        pass

    def stop(self) -> Load:
        return self._load


def made_up(*, disturbed: bool) -> Run:
    """A run of a hundred frames."""
    names = ("mean", "min", "max", "p50", "p95", "p99")
    return Run(
        frames=100,
        seconds=2.0,
        fps=50.0,
        **dict.fromkeys((f"latency_ms_{name}" for name in names), 20.0),
        stages_ms={},
        cpu_percent=100.0,
        others_percent=60.0 if disturbed else 1.0,
        rss_mb=100.0,
        temperature_c=None,
        throttled=None,
        round=None,
        disturbed="other processes took 60 % of the machine" if disturbed else None,
    )
