"""What fits a camera: the search of `tune` in small, on the camera's own last frames, beside the engine in use.

Size of the input, precision and hint, as far as nobody has named them. The wish is the camera's rate within an age; a
larger input comes before a cheaper one, since nobody says who is in the picture, and a precision that loses people is
refused as a switch would refuse it. The engine in use goes on: what holds beside it holds alone all the more.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import structlog

from agent.benchmark.choice import SPARE, may_hold, winner
from agent.benchmark.measure import Measured
from agent.benchmark.runs import Bench
from agent.benchmark.tune import SIDES, Tuner
from agent.capture.first import FirstFrames, FirstSeconds
from agent.capture.frame import CaptureCounts, Frame, Source
from agent.control.courtesy import behind
from agent.control.fits import Place
from agent.control.settings import SAID, Settings
from agent.inference.network import Network
from agent.output.messages import rounded
from agent.poses.skeleton import Poses
from agent.wire.commands import Agreement, HintName, Tune
from agent.wire.study import Bar, Clip, Recipe
from agent.wire.tuning import Trial, Wish
from models.shelf.catalogue import Precision

FIT_S: Final = 45.0
"""After so many seconds what was found until then decides."""
FRAMES: Final = 20
"""That each configuration looks at, as fast as it goes; a slow one at fewer."""
LOOK_S = 2.0
"""How long one is tried at the camera's pace, and as fast as it goes at most."""
PACED_MIN = 5
"""Frames of a slow camera that it is tried on at least."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a search has come to."""

    best: Trial | None
    """None where nothing holds."""
    tried: int
    left_out: int
    """Configurations for which there was no time."""


class Fitter(Tuner):
    """One search; :meth:`best` blocks, and belongs in a thread of its own.

    ``settings`` are what is asked for at ``place``, where the engine in use has brought ``results()`` by now, and takes
    ``besides_ms`` of the processor for one. The frames of the bench are a :class:`Shown`.
    """

    def __init__(
        self,
        bench: Bench,
        settings: Settings,
        place: Place,
        *,
        frames: Sequence[Frame],
        besides_ms: float,
        results: Callable[[], int],
        cancelled: threading.Event,
    ) -> None:
        camera_fps = bench.footage.clip.fps or 0.0
        wish = Wish(fps=camera_fps, pace=camera_fps, age_ms=place.age_ms_max)
        args = Tune(models=(settings.model,), devices=(settings.device,), hints=_hints(settings, place), frames=FRAMES)
        switch = bench.config.switch
        bar = Bar(missed_max=switch.missed_max, oks_min=switch.oks_min)
        super().__init__(bench, args, wish, bar, tell=_nobody_hears, cancelled=cancelled)
        self._asked = settings
        self._place = place
        self._frames = frames
        self._besides_ms = besides_ms
        self._results = results
        self._mark()
        self._same: set[str] = set()
        """Precisions that are computed as the one that is asked for."""

    def best(self) -> Chosen:
        """What to take. Raises EdgeposeError, and CancelledError when cancelled."""
        left_out = self._search(time.perf_counter(), FIT_S)
        index = winner(self._trials, self._wish)
        return Chosen(None if index is None else self._trials[index], len(self._trials), left_out)

    def _precisions(self, model: str) -> tuple[Precision, ...]:
        asked = self._asked.precision
        return (asked, *(each for each in self._place.precisions if each != asked))

    def _sides(self, model: str) -> tuple[int | None, ...]:
        return (None,) if self._place.input is not None else super()._sides(model)

    def _settings(self, recipe: Recipe) -> Settings:
        changes = {"precision": recipe.precision, "hint": recipe.hint, "said": SAID}
        side = {"long_side": recipe.long_side} if recipe.long_side is not None else {}
        return self._asked.model_copy(update=changes | side)

    def _gives_up(self, trial: Trial) -> bool:
        return trial.status == "failed" or (trial.status == "measured" and bool(trial.fails))

    def _compared(self, recipe: Recipe, _poses: Sequence[Poses]) -> tuple[Agreement | None, float | None]:
        # Nobody may be in view: how large the input is stands for how many would be found.
        return None, (recipe.long_side or SIDES[-1]) / SIDES[-1]

    def _engine(self, recipe: Recipe) -> tuple[Network, tuple[int, int]]:
        with behind():
            return super()._engine(recipe)

    def _look_at_footage(self, engine: Network, recipe: Recipe) -> Measured:
        self._mark()
        return super()._look_at_footage(engine, recipe)

    def _as_taken(self, recipe: Recipe) -> Network:
        with behind():  # with the guard of a switch: what is refused there is no choice
            engine = self._bench.workshop.build(self._settings(recipe), self._frames, self._until).lane.engine
        self._mark()
        return engine

    def _mark(self) -> None:
        """From here on the engine in use brings results beside the one that is looked at."""
        self._before, self._began_s = self._results(), time.perf_counter()

    def _own(self, cpu_percent: float) -> float:
        besides_ms = (self._results() - self._before) * self._besides_ms
        return max(0.0, cpu_percent - besides_ms / 10 / (time.perf_counter() - self._began_s))

    def _trial(self, recipe: Recipe) -> Trial:
        plain = self._plain_trial(recipe)
        if plain is not None and recipe.precision in self._same:
            return _skipped(recipe, f"it is computed as {plain.recipe.precision} is")
        trial = super()._trial(recipe)
        if plain is not None and trial.effective is not None and plain.effective is not None:
            if recipe.precision not in {"INT8", plain.recipe.precision} and (
                trial.effective.inference_precision == plain.effective.inference_precision
            ):
                self._same.add(recipe.precision)
                trial = _skipped(recipe, f"it is computed as {plain.recipe.precision} is")
            elif may_hold(plain, self._wish) and (trial.cpu_ms or 0.0) > (1 - SPARE) * (plain.cpu_ms or 0.0):
                trial = _skipped(recipe, "it saves less than a tenth of the processor time")
        return _told(trial)

    def _plain_trial(self, recipe: Recipe) -> Trial | None:
        """What is asked for, at the size of a recipe that differs from it, where that was measured."""
        plain = recipe.model_copy(update={"precision": self._asked.precision, "hint": self._asked.hint})
        if plain == recipe:
            return None
        return next((trial for trial in self._trials if trial.recipe == plain and trial.status == "measured"), None)

    def _at_pace(self, trial: Trial) -> Trial:
        return _told(super()._at_pace(trial))


def _hints(settings: Settings, place: Place) -> tuple[HintName, ...]:
    other: HintName = "throughput" if settings.hint == "latency" else "latency"
    return (settings.hint, other) if place.any_hint else (settings.hint,)


def _skipped(recipe: Recipe, reason: str) -> Trial:
    return Trial(recipe=recipe, status="skipped", reason=reason)


def _told(trial: Trial) -> Trial:
    recipe, seen = trial.recipe, trial.at_pace
    what = {"long_side": recipe.long_side, "precision": recipe.precision, "hint": recipe.hint}
    if trial.status == "measured":
        age = None if seen is None else seen.age_ms_p95
        log.info("input.tried", **what, **rounded({"fps": trial.fps, "cpu_ms": trial.cpu_ms, "age_ms_p95": age}))
    elif trial.status == "skipped":
        log.info("input.skipped", **what, cause=trial.reason)
    else:
        log.warning("input.size_failed", **what, cause=trial.reason)
    return trial


def _nobody_hears(_what: str, _share: float) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Shown:
    """A camera's last frames as footage: again and again, a run's worth of them, or at its pace for a moment."""

    clip: Clip
    frames: Sequence[Frame]
    seconds: float | None = None

    @classmethod
    def of(cls, frames: Sequence[Frame], place: Place, fps: float) -> "Shown":
        """Frames of a camera that gives so many a second."""
        return cls(Clip(name="camera", frames=FRAMES, width=place.width, height=place.height, fps=fps), frames)

    def at_pace(self, _fps_max: float | None, _seconds: float) -> "Shown":
        """For :data:`LOOK_S`, or :data:`PACED_MIN` frames of a slow camera."""
        return replace(self, seconds=max(LOOK_S, PACED_MIN / self._fps))

    def open(self) -> Source:
        """From the first on."""
        if self.seconds is None:
            return FirstSeconds(FirstFrames(Again(self.frames), self.clip.frames), LOOK_S)
        return FirstSeconds(Again(self.frames, 1 / self._fps), self.seconds)

    @property
    def _fps(self) -> float:
        assert self.clip.fps is not None
        return self.clip.fps


class Again:
    """Frames again and again: whenever one is asked for, or as a camera gives one every ``period_s`` seconds."""

    def __init__(self, frames: Sequence[Frame], period_s: float | None = None) -> None:
        self._frames = frames
        self._period_s = period_s
        self._began_s: float | None = None
        self._given = 0
        self._dropped = 0
        self._closed = threading.Event()

    def read(self, timeout_s: float) -> Frame | None:
        """The newest frame, or None when none was due in time."""
        now_s = time.perf_counter()
        if self._period_s is None:
            return self._frame(now_s)
        if self._began_s is None:
            self._began_s = now_s
        due_s = self._began_s + self._given * self._period_s
        if self._closed.wait(min(timeout_s, max(0.0, due_s - now_s))) or due_s > now_s + timeout_s:
            return None
        missed = max(0, int((time.perf_counter() - due_s) / self._period_s))
        self._given += missed
        self._dropped += missed
        return self._frame(self._began_s + self._given * self._period_s)

    def counts(self) -> CaptureCounts:
        """Frames that were due, and those nobody read in time."""
        return CaptureCounts(self._given, self._dropped)

    def close(self) -> None:
        """Whoever waits for a frame gets none."""
        self._closed.set()

    def _frame(self, captured_s: float) -> Frame:
        frame = self._frames[self._given % len(self._frames)]
        self._given += 1
        return replace(
            frame, seq=self._given, captured_at=datetime.now(UTC), captured_s=captured_s, capture_ms=0.0, media_s=None
        )
