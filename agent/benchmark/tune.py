"""The search behind `tune`: look at the footage with every configuration, then try the best at the camera's pace.

What cannot matter is not measured: a larger input once a smaller one was far from the wish, another hint where more
people are found by what holds the wish already.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from agent.benchmark.choice import hopeless, may_hold, misses, nearest, preferred, quality
from agent.benchmark.measure import Measured, agree
from agent.benchmark.rows import settings_of
from agent.benchmark.runs import Bench, Progress, Runs, gflops_per_frame
from agent.benchmark.statistics import percentiles
from agent.control.settings import Settings
from agent.control.workshop import Tell, exact
from agent.errors import CancelledError, ConfigError, EdgeposeError, ModelError
from agent.inference.engine import Engine
from agent.inference.network import Network
from agent.output.messages import effective
from agent.poses.agreement import CERTAIN, POSSIBLE, Outcome, verdict
from agent.poses.skeleton import Poses
from agent.wire.commands import Agreement, CommandError, HintName, PrecisionName, Tune
from agent.wire.devices import DeviceString
from agent.wire.study import Bar, Recipe
from agent.wire.tuning import AtPace, Trial, Wish
from models.shelf.catalogue import NetworkCard

SIDES = (256, 320, 384, 512, 640)
"""Looked at unless others are named, as far as the picture is that large."""
PACED_S = 10.0
"""How long a configuration is tried at the camera's pace."""
LOOKS_SHARE = 0.7
"""Of the time, after which no other configuration is looked at: what was found has to be tried."""
PROGRESS = {"look": (0.0, 0.6), "hint": (0.6, 0.75), "try": (0.75, 1.0)}
"""From which to which share of the whole each part goes."""
TRIED_MAX = 6
"""Configurations that are tried at the camera's pace before the nearest has to do."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search has come to."""

    reference: Recipe
    people: float
    """Whom the reference finds in a frame, in the mean."""
    trials: tuple[Trial, ...]
    left_out: int
    """Configurations for which there was no time."""


class _Over(Exception):  # noqa: N818 - the time is, and nothing went wrong
    """The time for looking is over."""


class _Until(threading.Event):
    """Set once another event is, or the time is over."""

    def __init__(self, cancelled: threading.Event) -> None:
        super().__init__()
        self._cancelled = cancelled
        self.until_s = float("inf")

    def is_set(self) -> bool:
        """Whether to end."""
        return self._cancelled.is_set() or self.over

    @property
    def over(self) -> bool:
        """Whether the time is over."""
        return time.perf_counter() >= self.until_s


class Tuner:
    """One search; :meth:`run` blocks, and belongs in a thread of its own while the live pipeline is paused.

    ``bar`` is that of a switch; ``tell`` hears what is being done and how far it is.
    """

    def __init__(
        self, bench: Bench, args: Tune, wish: Wish, bar: Bar, *, tell: Tell, cancelled: threading.Event
    ) -> None:
        self._bench = bench
        self._args = args
        self._wish = wish
        self._bar = bar
        self._progress = Progress(tell)
        self._cancelled = cancelled
        self._until = _Until(cancelled)
        self._runs = Runs(bench, self._until, self._progress.goes_on)
        self._trials: list[Trial] = []
        self._plain: dict[tuple[str, int | None], Sequence[Poses]] = {}
        """What FP32 of a network finds on the CPU at a size: what its other precisions are held to."""
        self._found: Sequence[Poses] = ()

    def run(self) -> Found:
        """Look, and try what may hold the wish. Raises EdgeposeError, and CancelledError when cancelled."""
        began_s = time.perf_counter()
        self._until.until_s = began_s + self._args.seconds
        reference = self._reference()
        self._step("look", 0.0, f"{describe(reference)}, to compare with")
        try:
            self._found = self._look_only(reference)
        except CancelledError:
            if self._cancelled.is_set():
                raise
            seconds, frames = self._args.seconds, self._args.frames
            raise EdgeposeError(
                f"{seconds:g} s are too few to look at {frames} frames with {describe(reference)}",
                hint="give more seconds or fewer frames, or name another network to compare with",
            ) from None
        left_out = self._search(began_s, self._args.seconds)
        certain = [int((poses.scores >= CERTAIN).sum()) for poses in self._found]
        return Found(reference, sum(certain) / max(1, len(certain)), tuple(self._trials), left_out)

    def _search(self, began_s: float, seconds: float) -> int:
        """Look, then try; returns how many configurations there was no time for. Raises CancelledError."""
        self._until.until_s = began_s + LOOKS_SHARE * seconds
        left_out = self._look() + self._look_with_other_hints()
        self._until.until_s = began_s + seconds
        self._try()
        return left_out

    def models(self) -> tuple[str, ...]:
        """The networks that are looked at."""
        return self._args.models or tuple(self._bench.box.models)

    def _reference(self) -> Recipe:
        """The network that computes most for a picture full of people, at its largest input, as good as it is here."""
        named = self._args.reference
        model = named or max(self.models(), key=self._arithmetic)
        return self._largest(model)

    def _largest(self, model: str) -> Recipe:
        return self._recipe(model, self._sides(model)[-1], self._bench.store.precisions(model)[0], "CPU", "throughput")

    def _arithmetic(self, model: str) -> float:
        """GFLOP of a frame, of two stages with as many people as may be looked at."""
        store, card = self._bench.store, self._bench.store.card(model)
        size = self._runs.size(settings_of(self._largest(model)))
        one = gflops_per_frame(store, model, size)
        if card.detector is None:
            return one
        front = gflops_per_frame(store, card.detector, size)
        return front + (one - front) * self._bench.config.model.persons_max

    def _sides(self, model: str) -> tuple[int | None, ...]:
        """Long sides in ascending order; None alone of a network with one size."""
        card = self._bench.store.seeing(self._bench.store.card(model))
        if not card.input.resizable:
            return (None,)
        if self._args.long_sides is not None:
            return tuple(sorted(set(self._args.long_sides)))
        clip = self._bench.footage.clip
        return long_sides(card, clip.width, clip.height)

    def _devices(self) -> tuple[str, ...]:
        """Those that were named, else each of the box; another name of one is not another device."""
        aliases = self._bench.config.devices.aliases
        if self._args.devices is not None:
            return tuple(dict.fromkeys(str(DeviceString.parse(text)) for text in self._args.devices))
        return tuple(name for name in self._bench.box.devices if name not in aliases)

    def _precisions(self, model: str) -> tuple[PrecisionName, ...]:
        present = self._bench.store.precisions(model)
        return tuple(precision for precision in present if precision in self._args.precisions)

    def _recipe(self, model: str, side: int | None, precision: PrecisionName, device: str, hint: HintName) -> Recipe:
        return Recipe(engine="openvino", model=model, device=device, precision=precision, hint=hint, long_side=side)

    def _look(self) -> int:
        """Look with each configuration at the first hint; returns how many were left out because the time was over."""
        hint = self._args.hints[0]
        given_up: set[tuple[str, str, str]] = set()
        plan = [
            self._recipe(model, side, precision, device, hint)
            for place in range(len(SIDES) + len(self._args.long_sides or ()))
            for model in self.models()
            for side in self._sides(model)[place : place + 1]
            for device in self._devices()
            for precision in self._precisions(model)
        ]
        for place, recipe in enumerate(plan):
            way = (recipe.model, recipe.device, recipe.precision)
            if way in given_up:
                continue
            self._step("look", place / len(plan), describe(recipe))
            try:
                trial = self._trial(recipe)
            except _Over:
                return sum((each.model, each.device, each.precision) not in given_up for each in plan[place:])
            self._trials.append(trial)
            if self._gives_up(trial):
                given_up.add(way)
        return 0

    def _gives_up(self, trial: Trial) -> bool:
        """Whether no larger input need be looked at in the same way."""
        return trial.status == "measured" and hopeless(trial, self._wish)

    def _look_with_other_hints(self) -> int:
        """A hint changes what a frame costs, not whom it shows: only where more might be found it is worth a look."""
        able = preferred(self._trials, self._wish)
        best = self._trials[able[0]].quality or 0.0 if able else 0.0
        worth = [
            trial.recipe.model_copy(update={"hint": hint})
            for hint in self._args.hints[1:]
            for trial in tuple(self._trials)
            if trial.status == "measured" and (trial.quality or 0.0) >= best and not hopeless(trial, self._wish)
        ]
        for place, recipe in enumerate(worth):
            self._step("hint", place / len(worth), describe(recipe))
            try:
                self._trials.append(self._trial(recipe))
            except _Over:
                return len(worth) - place
        return 0

    def _try(self) -> None:
        """At the camera's pace: what may hold the wish, the preferred first, until one does; else what is nearest."""
        for number in range(TRIED_MAX):
            index = next((each for each in self._candidates() if self._trials[each].at_pace is None), None)
            if index is None:
                return
            trial = self._trials[index]
            self._step("try", number / TRIED_MAX, f"{describe(trial.recipe)} at the camera's pace")
            try:
                tried = self._at_pace(trial)
            except _Over:
                return
            self._trials[index] = tried
            if may_hold(tried, self._wish):
                return

    def _candidates(self) -> tuple[int, ...]:
        able = preferred(self._trials, self._wish)
        if able or any(trial.at_pace is not None for trial in self._trials):
            return able
        index = nearest(self._trials, self._wish)
        return () if index is None else (index,)

    def _look_only(self, recipe: Recipe) -> Sequence[Poses]:
        if self._until.is_set():
            raise CancelledError("it was given up")
        with self._engine(recipe)[0] as engine:
            return self._look_at_footage(engine, recipe).poses

    def _settings(self, recipe: Recipe) -> Settings:
        return settings_of(recipe)

    def _engine(self, recipe: Recipe) -> tuple[Network, tuple[int, int]]:
        settings = self._settings(recipe)
        size = self._runs.size(settings)
        return self._runs.engine(settings, size), size

    def _look_at_footage(self, engine: Network, recipe: Recipe) -> Measured:
        return self._runs.run(engine, recipe.model, POSSIBLE, keep_poses=True)

    def _trial(self, recipe: Recipe) -> Trial:
        """Look with one configuration. Raises _Over, and CancelledError when cancelled."""
        if self._until.over:
            raise _Over
        try:
            self._runs.require(recipe)
            engine, size = self._engine(recipe)
            with engine:
                return self._figures(recipe, engine, size, self._look_at_footage(engine, recipe))
        except CancelledError:
            self._stop()
        except CommandError as error:
            return Trial(recipe=recipe, status="unavailable", reason=error.message)
        except (ModelError, ConfigError) as error:
            return Trial(recipe=recipe, status="unavailable", reason=str(error))
        except EdgeposeError as error:
            return Trial(recipe=recipe, status="failed", reason=str(error))

    def _stop(self) -> NoReturn:
        """A run was ended: by whoever cancelled, or by the time."""
        if self._cancelled.is_set():
            raise CancelledError(f"cancelled at {self._progress.what}") from None
        raise _Over from None

    def _figures(self, recipe: Recipe, engine: Network, size: tuple[int, int], seen: Measured) -> Trial:
        run, (agreement, value) = seen.run, self._compared(recipe, seen.poses)
        key = (recipe.model, recipe.long_side)
        plain = exact(engine)
        if plain:
            self._plain.setdefault(key, seen.poses)
        trial = Trial(
            recipe=recipe,
            status="measured",
            input=size,
            effective=effective(engine),
            fps=run.fps,
            latency_ms=run.latency_ms_mean,
            cpu_ms=self._own(run.cpu_percent) / 100 * run.seconds / run.frames * 1e3,
            agreement=agreement,
            quality=value,
            accurate=True if plain else self._accurate(key, seen.poses),
            disturbed=run.disturbed,
        )
        return trial.model_copy(update={"fails": misses(trial, self._wish)})

    def _compared(self, _recipe: Recipe, poses: Sequence[Poses]) -> tuple[Agreement | None, float | None]:
        """How a configuration compares with the reference: in full, and what of it is to be chosen by."""
        agreement = agree(self._found, poses)
        return agreement, quality(agreement)

    def _own(self, cpu_percent: float) -> float:
        """Of the process's time that of the configuration."""
        return cpu_percent

    def _accurate(self, key: tuple[str, int | None], poses: Sequence[Poses]) -> bool | None:
        """Whether a switch would take it, as far as FP32 of the same network and size was seen."""
        if key not in self._plain:
            return None
        plain = self._plain[key]
        seen = min(len(plain), len(poses))
        judged = verdict(agree(plain[:seen], poses[:seen]), **self._bar.model_dump())
        return None if judged.outcome is Outcome.UNJUDGED else judged.outcome is Outcome.PASSED

    def _at_pace(self, trial: Trial) -> Trial:
        """Try one at the pace of the footage, as the agent would take it. Raises as :meth:`_trial` does."""
        if self._until.over:
            raise _Over
        footage = self._bench.footage
        at_pace = footage.at_pace(self._bench.config.camera.fps_max, PACED_S)
        paced = Runs(replace(self._bench, footage=at_pace), self._until, self._progress.goes_on)
        score_min = self._bench.config.model.person_score_min
        try:
            with self._as_taken(trial.recipe) as engine:
                if not isinstance(engine, Engine):  # two stages: how often the detector looks has to settle first
                    paced.run(engine, trial.recipe.model, score_min)
                seen = paced.run(engine, trial.recipe.model, score_min)
        except CancelledError:
            self._stop()
        except EdgeposeError as error:
            return trial.model_copy(update={"status": "failed", "reason": f"at the camera's pace: {error}"})
        p50, p95, _p99 = percentiles(seen.ages_ms)
        figures = AtPace(
            fps_asked=self._wish.pace or self._wish.fps,
            fps=seen.fps_between,
            age_ms_p50=p50,
            age_ms_p95=p95,
            cpu_percent=self._own(seen.run.cpu_percent),
            disturbed=seen.run.disturbed,
        )
        tried = trial.model_copy(update={"at_pace": figures})
        return tried.model_copy(update={"fails": misses(tried, self._wish)})

    def _as_taken(self, recipe: Recipe) -> Network:
        """The engine of a configuration that may be the choice."""
        return self._engine(recipe)[0]

    def _step(self, part: str, share: float, what: str) -> None:
        if self._cancelled.is_set():
            raise CancelledError(f"cancelled at {self._progress.what or what}")
        low, high = PROGRESS[part]
        self._progress.step(what, max(self._progress.share, low + share * (high - low)))


def long_sides(card: NetworkCard, width: int, height: int) -> tuple[int, ...]:
    """Those of :data:`SIDES` that a network takes and such a picture fills, in ascending order; one at least."""
    sides = [side for side in SIDES if side <= max(width, height) and side % card.input.stride == 0]
    return tuple(sides) or (SIDES[0],)


def describe(recipe: Recipe) -> str:
    """A configuration's name, as progress and the verdict show it."""
    side = f"{recipe.long_side} px" if recipe.long_side else None
    parts = (recipe.model, side, recipe.precision, recipe.device, recipe.hint)
    return " ".join(part for part in parts if part)
