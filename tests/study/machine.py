"""A machine that is not there: it drifts, its figures scatter, and another process comes and goes."""

import numpy as np

from agent.benchmark.load import OTHERS_MAX
from agent.benchmark.measure import Measured
from agent.benchmark.rounds import counting, next_place, with_drift, with_figures
from agent.wire.study import Row, Run
from tests.study.runs import made_up

SCATTER = 0.015
"""Standard deviation of a run, as a share."""
DRIFT = 0.08
"""How far the machine wanders to either side, as a share."""
WANDERING_RUNS = 40.0
"""Length of one such wandering, in runs."""
OTHER_RUNS = 12.0
"""Mean length for which the other process stays, and stays away three times as long."""
OTHER_TAKES = (0.03, 0.5)
"""Of the machine, from the least to the most: too little is not told as a disturbance."""


class Machine:
    """Makes runs one after the other; ``seed`` says what happens to it."""

    def __init__(self, seed: int) -> None:
        self._chance = np.random.default_rng(seed)
        self._phase = self._chance.uniform(0, 2 * np.pi)
        self._other = 0.0
        self._runs = 0

    def run(self, fps: float) -> Run:
        """One run of a configuration that would do so many frames a second on a machine left alone."""
        chance, self._runs = self._chance, self._runs + 1
        if chance.random() < (1 / OTHER_RUNS if self._other else 1 / (3 * OTHER_RUNS)):
            self._other = 0.0 if self._other else float(chance.uniform(*OTHER_TAKES))
        drifted = 1 + DRIFT * np.sin(self._phase + 2 * np.pi * self._runs / WANDERING_RUNS)
        speed = fps * drifted * (1 - self._other) * (1 + chance.normal(0, SCATTER))
        made = made_up(disturbed=100 * self._other > OTHERS_MAX)
        return made.model_copy(update={"fps": float(speed), "latency_ms_mean": float(2000 / speed)})


def study(machine: Machine, rows: list[Row], speeds: list[float], runs: int) -> list[Row]:
    """Measure rows as a study does; they come back with the figures that would be published."""
    wanted = [runs] * len(rows)
    done_of: list[list[Measured]] = [[] for _ in rows]
    while (place := next_place(rows, wanted)) is not None:
        run = machine.run(speeds[place]).model_copy(update={"round": len(done_of[place]) + 1})
        done_of[place].append(Measured(run, ()))
        rows[place] = with_figures(rows[place], done_of[place], runs)
    return list(with_drift([counting(row, runs) for row in rows]))
