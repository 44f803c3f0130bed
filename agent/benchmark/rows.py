"""Which configurations are measured, and which of them may be chosen."""

import itertools
from collections.abc import Sequence

from agent.control.settings import Settings
from agent.wire.affinity import Affinity
from agent.wire.commands import Aim, CommandError, ErrorCode, Sweep
from agent.wire.devices import DeviceString
from agent.wire.study import Recipe, Row

RUNS_MAX = 1600
"""A run takes half a kilobyte of the study, and a message of the wire holds a megabyte."""


def recipes(sweep: Sweep, model: str) -> tuple[Recipe, ...]:
    """Every combination, the original model first; affinities are for HETERO alone.

    Raises CommandError for device strings that are none, and for more runs than a message can tell of.
    """
    found = [Recipe(engine="original", model=model, device="CPU", precision="FP32")] if sweep.baseline_runs else []
    sides = sweep.long_sides or (None,)
    for side, text, precision, hint in itertools.product(sides, sweep.devices, sweep.precisions, sweep.hints):
        device = DeviceString.parse(text)
        common = {"model": model, "device": str(device), "precision": precision, "hint": hint, "long_side": side}
        affinities = sweep.affinities if device.mode == "HETERO" else (None,)
        found += [
            Recipe.model_validate({"engine": "openvino", **common, "affinity": affinity}) for affinity in affinities
        ]
    wanted = tuple(dict.fromkeys(found))
    if len(wanted) * sweep.runs > RUNS_MAX:
        raise CommandError(
            ErrorCode.INVALID_PAYLOAD,
            f"{len(wanted)} rows of {sweep.runs} runs: at most {RUNS_MAX} runs in all",
            "sweep in parts, or with fewer --runs",
        )
    return wanted


def sides_of(recipes: Sequence[Recipe]) -> tuple[int, ...]:
    """The long sides that are measured, each once; none where all rows have the size that runs."""
    return tuple(dict.fromkeys(recipe.long_side for recipe in recipes if recipe.long_side is not None))


def settings_of(recipe: Recipe) -> Settings:
    """What is asked of the agent to run a row."""
    return Settings(
        model=recipe.model,
        device=recipe.device,
        precision=recipe.precision,
        affinity=Affinity(preset=recipe.affinity) if recipe.affinity else None,
        hint=recipe.hint or "latency",
        long_side=recipe.long_side,
    )


def eligible(row: Row, max_loss: float | None) -> bool:
    """Whether a row may be chosen: measured with OpenVINO, and not at the price of people.

    A precision below FP32, and an input smaller than the largest, has to have passed the bar; where nobody was in view
    to judge it, it has not.
    """
    if row.status != "measured" or row.recipe.engine != "openvino" or row.effective is None:
        return False
    plain = row.effective.inference_precision == "F32" and row.recipe.precision != "INT8"
    largest = row.recipe.long_side is None or row.accurate is True
    exact = plain and largest
    if not exact and row.accurate is not True:
        return False
    if max_loss is None or row.agreement is None or not row.agreement.people:
        return max_loss is None or exact
    return row.agreement.missed / row.agreement.people <= max_loss


def best(rows: Sequence[Row], aim: Aim, max_loss: float | None = None) -> int | None:
    """Index of the winner, None without any.

    `best-throughput` has the most frames per second, `best-latency` the lowest latency; `best` is the one of lowest
    latency among those whose frames per second cannot be told from the most: their 95 % intervals overlap.
    """
    able = [index for index, row in enumerate(rows) if eligible(row, max_loss)]
    if not able:
        return None
    fastest = max(able, key=lambda index: _fps(rows[index]))
    if aim == "best-throughput":
        return fastest
    if aim == "best":
        low, _high = _interval(rows[fastest])
        able = [index for index in able if _interval(rows[index])[1] >= low]
    return min(able, key=lambda index: _latency(rows[index]))


def _fps(row: Row) -> float:
    assert row.fps is not None
    return row.fps.mean


def _interval(row: Row) -> tuple[float, float]:
    assert row.fps is not None
    return row.fps.interval or (row.fps.mean, row.fps.mean)


def _latency(row: Row) -> float:
    assert row.latency_ms is not None
    return row.latency_ms.mean
