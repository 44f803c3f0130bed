"""Which of the configurations that were tried to take: the frontier, what holds a wish, what comes nearest.

All of it is pure. A wish is held with a tenth to spare: what was measured over seconds has to last.
"""

import math
from collections.abc import Sequence

from agent.wire.commands import Agreement
from agent.wire.tuning import AtPace, Trial, Wish

SPARE = 0.1
"""Of each part of a wish, what must be left."""
HOPELESS = 2.0
"""Times a wish: no other hint makes up for so much."""
KEPT = 0.95
"""Of the frames that are wished for and came, those that must be finished: the run may only have ended early."""


def quality(agreement: Agreement) -> float | None:
    """The OKS of people whom both find, summed, over the people whom either finds; None where neither finds any.

    1 is the reference itself. Who is missed and who is made up cost the same.
    """
    everybody = agreement.people + agreement.invented
    if not everybody:
        return None
    return (agreement.people - agreement.missed) * (agreement.mean_oks or 0.0) / everybody


def choosable(trial: Trial) -> bool:
    """Whether a trial has its figures and is not known to lose people against FP32 of its own network."""
    return trial.status == "measured" and trial.quality is not None and trial.accurate is not False


def frontier(trials: Sequence[Trial]) -> tuple[int, ...]:
    """Indices of the choosable trials that no other equals or beats in every figure, the best quality first.

    Figures are compared as a person would: quality to a hundredth, the others to two digits. Of those that are then
    equal, the first stands for all.
    """
    able = [(index, _figures(trial)) for index, trial in enumerate(trials) if choosable(trial)]
    found: list[tuple[int, tuple[float, ...]]] = []
    for index, figures in able:
        beaten = any(_beats(other, figures) for _index, other in able)
        if not beaten and figures not in [known for _index, known in found]:
            found.append((index, figures))
    return tuple(index for index, figures in sorted(found, key=lambda each: (-each[1][0], each[0])))


def shortfalls(trial: Trial, wish: Wish) -> dict[str, float]:
    """By how much a trial falls short of each part of a wish that is known: above 1 it misses it outright.

    What was seen at the camera's pace counts before what is expected from the run at full speed; the age of a result is
    not known without it.
    """
    seen = trial.at_pace
    found: dict[str, float] = {}
    if trial.fps:
        found["fps"] = wish.fps / trial.fps
    if seen is not None and _behind(seen, wish):
        found["fps"] = max(found.get("fps", 0.0), min(wish.fps, seen.fps_asked) / max(seen.fps, 1e-9))
    if wish.age_ms is not None and seen is not None:
        found["age"] = seen.age_ms_p95 / wish.age_ms
    if wish.cpu_percent is not None and (cpu := cpu_percent(trial, wish)) is not None:
        found["cpu"] = cpu / wish.cpu_percent
    return found


def cpu_percent(trial: Trial, wish: Wish) -> float | None:
    """Processor time with the frames that come, 100 being one core: as seen, else as a run at full speed lets expect.

    A wish beyond the pace that the trial was seen at costs so much more.
    """
    if (seen := trial.at_pace) is not None:
        return seen.cpu_percent * max(1.0, wish.fps / seen.fps_asked)
    rate = max(wish.fps, min(wish.pace or 0.0, trial.fps or 0.0))  # what comes is looked at, as far as it is able to
    return trial.cpu_ms * rate / 10 if trial.cpu_ms is not None else None


def misses(trial: Trial, wish: Wish) -> tuple[str, ...]:
    """What of a wish a trial does not hold, in words."""
    short = {part: ratio for part, ratio in shortfalls(trial, wish).items() if ratio > 1 - SPARE}
    told = []
    if "fps" in short:
        seen = trial.at_pace
        done = seen.fps if seen is not None and _behind(seen, wish) else trial.fps or 0.0
        told.append(f"{done:.1f} frames a second of {wish.fps:g}")
    if "age" in short and trial.at_pace is not None:
        told.append(f"{trial.at_pace.age_ms_p95:.0f} ms of age, where {wish.age_ms:g} may be")
    if "cpu" in short:
        told.append(f"{cpu_percent(trial, wish) or 0.0:.0f} % of a core, where {wish.cpu_percent:g} may be")
    return tuple(told)


def may_hold(trial: Trial, wish: Wish) -> bool:
    """Whether nothing that is known of a trial speaks against it."""
    return choosable(trial) and not misses(trial, wish)


def holds(trial: Trial, wish: Wish) -> bool:
    """Whether a trial was seen to hold a wish at the camera's pace."""
    return trial.at_pace is not None and may_hold(trial, wish)


def hopeless(trial: Trial, wish: Wish) -> bool:
    """Whether a trial is so far from a wish that a larger input need not be tried."""
    known = shortfalls(trial, wish)
    # What others took of the machine meanwhile they may leave alone another time.
    far = HOPELESS * (2 if trial.disturbed else 1)
    return known.get("fps", 0.0) > far or known.get("cpu", 0.0) > HOPELESS


def preferred(trials: Sequence[Trial], wish: Wish) -> tuple[int, ...]:
    """Indices of the trials that may hold a wish: most people found first, then least processor time, then in order."""
    able = [index for index, trial in enumerate(trials) if may_hold(trial, wish)]

    def order(index: int) -> tuple[float, float, int]:
        trial = trials[index]
        return -_figures(trial)[0], cpu_percent(trial, wish) or math.inf, index

    return tuple(sorted(able, key=order))


def winner(trials: Sequence[Trial], wish: Wish) -> int | None:
    """Index of the preferred trial among those that were seen to hold a wish; None without any."""
    return next((index for index in preferred(trials, wish) if holds(trials[index], wish)), None)


def nearest(trials: Sequence[Trial], wish: Wish) -> int | None:
    """Index of the choosable trial whose worst shortfall is least; of equals the one that finds most.

    Those that were seen at the camera's pace come before those of which less is known.
    """
    able = [index for index, trial in enumerate(trials) if choosable(trial)]
    seen = [index for index in able if trials[index].at_pace is not None]

    def order(index: int) -> tuple[float, float, int]:
        worst = max(shortfalls(trials[index], wish).values(), default=math.inf)
        return round(worst, 2), -_figures(trials[index])[0], index

    return min(seen or able, key=order, default=None)


def _behind(seen: AtPace, wish: Wish) -> bool:
    return seen.fps < KEPT * min(wish.fps, seen.fps_asked)


def _figures(trial: Trial) -> tuple[float, ...]:
    """Quality, frames a second, latency and processor time; of each more is better."""
    fps, latency, cpu = trial.fps or 0.0, trial.latency_ms or math.inf, trial.cpu_ms or math.inf
    return round(trial.quality or 0.0, 2), _two_digits(fps), -_two_digits(latency), -_two_digits(cpu)


def _two_digits(value: float) -> float:
    return float(f"{value:.1e}")


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(mine >= its for mine, its in zip(one, other, strict=True))
