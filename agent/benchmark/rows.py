"""Which configurations are measured, and which of them may be chosen."""

import itertools
from collections.abc import Sequence

from agent.control.settings import SAID, Settings
from agent.wire.affinity import Affinity
from agent.wire.apart import Figure, difference, disturbed, fps, latency_ms
from agent.wire.commands import Aim, CommandError, ErrorCode, Sweep
from agent.wire.devices import DeviceString
from agent.wire.study import Recipe, Row
from agent.wire.wording import many

RUNS_MAX = 1600
"""A run takes half a kilobyte of the study, and a message of the wire holds a megabyte."""


def recipes(sweep: Sweep, model: str) -> tuple[Recipe, ...]:
    """Every combination, the original model first; affinities are for HETERO alone.

    Raises CommandError for device strings that are none, and for more runs than a message can tell of.
    """
    found = [Recipe(engine="original", model=model, device="CPU", precision="FP32")] if sweep.baseline_runs else []
    each = (sweep.long_sides or (None,), sweep.devices, sweep.detectors or (None,), sweep.precisions, sweep.hints)
    for side, text, front, precision, hint in itertools.product(*each):
        device = DeviceString.parse(text)
        common = {"model": model, "device": str(device), "precision": precision, "hint": hint, "long_side": side}
        common["detector"] = _apart(front, str(device))
        affinities = sweep.affinities if device.mode == "HETERO" else (None,)
        found += [
            Recipe.model_validate({"engine": "openvino", **common, "affinity": affinity}) for affinity in affinities
        ]
    wanted = tuple(dict.fromkeys(found))
    if len(wanted) * sweep.runs > RUNS_MAX:
        raise CommandError(
            ErrorCode.INVALID_PAYLOAD,
            f"{len(wanted)} rows of {many(sweep.runs, 'run')}: at most {RUNS_MAX} runs in all",
            "sweep in parts, or with fewer --runs",
        )
    return wanted


def _apart(detector: str | None, device: str) -> str | None:
    """Where a detector runs, None where that is where the rest runs. Raises CommandError for no device string."""
    canonical = detector and str(DeviceString.parse(detector))
    return None if canonical == device else canonical


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
        detector=recipe.detector,
        said=SAID,
    )


def recipe_of(settings: Settings) -> Recipe:
    """What measures settings, at the input size of the study. Raises CommandError where rules place the layers."""
    if settings.affinity is not None and settings.affinity.preset is None:
        raise CommandError(
            ErrorCode.INVALID_AFFINITY,
            "layers are placed by rules, and a row of the study has a preset",
            "name one with --affinity, or another --device",
        )
    return Recipe(
        engine="openvino",
        model=settings.model,
        device=settings.device,
        precision=settings.precision,
        affinity=settings.affinity.preset if settings.affinity else None,
        hint=settings.hint,
        detector=_apart(settings.detector, settings.device),
    )


def eligible(row: Row, max_loss: float | None) -> bool:
    """Whether a row may be chosen: measured with OpenVINO, and not at the price of people.

    A precision below FP32, and an input smaller than the largest, has to have passed the bar; where nobody was in view
    to judge it, it has not. Of a row of which a run counts that was not quiet nothing is claimed.
    """
    return not disturbed(row) and _keeps_people(row, max_loss)


def _keeps_people(row: Row, max_loss: float | None) -> bool:
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
    """Index of the winner, None without any, and where the runs do not tell it from another that may be chosen.

    `best-throughput` has the most frames per second, `best-latency` the lowest latency; `best` is the one of lowest
    latency among those whose frames per second cannot be told from the most. Rows that turned out to be the same, as
    AUTO on a box with one device, do not compete: the first of them stands for all. One that was disturbed cannot win,
    and has to be beaten all the same, in the rounds that were quiet: nobody wins because the other was not looked at.
    """
    able = [index for index, row in enumerate(rows) if _keeps_people(row, max_loss)]
    if all(disturbed(rows[index]) for index in able):
        return None
    if aim == "best-latency":
        return _decided(rows, able, latency_ms)
    if aim == "best-throughput":
        return _decided(rows, able, fps)
    fastest = _first(rows, able, fps)
    if fastest is None:
        return None
    near = [index for index in able if difference(rows[fastest], rows[index], fps) <= 0]
    return _decided(rows, near, latency_ms)


def _decided(rows: Sequence[Row], able: Sequence[int], figure: Figure) -> int | None:
    """The first by a figure, if it is ahead of all others that are not the same."""
    sign = _sign(figure)
    first = _first(rows, able, figure)
    if first is None:
        return None
    rivals = [index for index in able if not _same(rows[first], rows[index])]
    return first if all(sign * difference(rows[first], rows[index], figure) > 0 for index in rivals) else None


def _first(rows: Sequence[Row], able: Sequence[int], figure: Figure) -> int | None:
    """The one with the most frames a second, or the least latency; of those that are the same, the first.

    Only quiet rows; None without any.
    """
    quiet = [index for index in able if not disturbed(rows[index])]
    leader = max(quiet, key=lambda index: _sign(figure) * _mean(rows[index], figure), default=None)
    return next((index for index in quiet if leader is not None and _same(rows[leader], rows[index])), None)


def _sign(figure: Figure) -> int:
    return 1 if figure is fps else -1


def _mean(row: Row, figure: Figure) -> float:
    found = row.fps if figure is fps else row.latency_ms
    assert found is not None
    return found.mean


def _same(one: Row, other: Row) -> bool:
    """Whether OpenVINO made the same of two rows, whatever they were called."""
    if one is other:
        return True
    mine, its = one.effective, other.effective
    if mine is None or its is None or one.input != other.input or one.recipe.affinity or other.recipe.affinity:
        return False
    named = ("model", "precision", "hint", "detector")
    made = ("execution_devices", "model_precision", "inference_precision", "submodels", "infer_requests")
    return all(getattr(one.recipe, name) == getattr(other.recipe, name) for name in named) and all(
        getattr(mine, name) == getattr(its, name) for name in made
    )
