"""Finds what fits the camera, beside the engine in use, and tells it as news.

It begins once poses flow, and whatever somebody asks for ends it; it then begins again when nothing is asked for. What
is done about it is decided by the machine.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from agent.benchmark.fit import Chosen, Fitter, Shown
from agent.benchmark.limit import Limits
from agent.benchmark.load import LoadMeter
from agent.benchmark.runs import Bench
from agent.control.events import SizeFound
from agent.control.fits import Fit, Fits, Place
from agent.control.settings import Settings
from agent.control.studying import Parts
from agent.control.works import CameraMeter
from agent.errors import CancelledError, EdgeposeError
from agent.inference.spec import EngineSpec
from agent.output.messages import rounded
from agent.wire.messages import Fitted

SETTLED_S = 5.0
"""From the first poses to the moment the camera's rate is counted."""
RATE_S = 5.0
"""Over which it is counted."""
RISEN = 1.25
"""Times the rate something was chosen for: from there on it is chosen anew."""
PLACED_S = 1.0
"""So long it is not looked anew what there is to choose from: networks' files say it."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is to be fitted."""

    settings: Settings
    place: Place
    runs: EngineSpec
    """The engine in use."""


class Fitting:
    """Measures in a thread of its own, one thing at a time; all else is called by the supervisor.

    ``captured`` counts the camera's frames; without it there is no pace to hold, and nothing is measured. What was
    found goes to ``post``.
    """

    def __init__(
        self, parts: Parts, fits: Fits, *, captured: Callable[[], int] | None, post: Callable[[SizeFound], None]
    ) -> None:
        self._parts = parts
        self._fits = fits
        self._captured = captured
        self._post = post
        self._done: set[Place] = set()
        self._cancelled = threading.Event()
        self._thread: threading.Thread | None = None
        self._placed: tuple[Settings, int, int, float] | None = None
        self._here: Place | None = None

    def consider(self, settings: Settings, spec: EngineSpec) -> None:
        """Nothing else is to be done: measure what has not been measured since the start."""
        captured, samples, store = self._captured, self._parts.samples, self._parts.store
        if captured is None or self._fits.suspended or (self._thread is not None and self._thread.is_alive()):
            return
        place = self._place(settings)
        if place is None or not place.open or place in self._done:
            return
        if store.card(settings.model).detector is not None and not samples.people_seen:
            return  # what two stages cost depends on whom they see
        wanted = _Wanted(settings, place, spec)
        cancelled = self._cancelled = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(wanted, captured, cancelled), name="fitting", daemon=True
        )
        self._thread.start()

    def cancel(self) -> None:
        """Something else is to be done: end soon, and tell nothing."""
        self._cancelled.set()

    def keep(self, fit: Fit) -> None:
        """Remember what runs now."""
        self._fits.keep(fit)

    def told(self, settings: Settings, spec: EngineSpec) -> Fitted | None:
        """Why the engine in use is as it is; None where nothing of it was fitted. The same object each time."""
        place = self._place(settings)
        fit = None if place is None else self._fits.best(place)
        return fit.measured if fit is not None and _runs(fit, spec) else None

    def _place(self, settings: Settings) -> Place | None:
        """Where it runs; None before the first picture, and where nobody wants anything measured."""
        latest = self._parts.samples.latest
        if latest is None:
            return None
        area, now_s = latest.frame.area, time.monotonic()
        key = (settings, area.width, area.height)
        if self._placed is None or self._placed[:3] != key or now_s - self._placed[3] > PLACED_S:
            self._placed = (*key, now_s)
            try:
                self._here = self._parts.workshop.place(settings, latest.frame)
            except EdgeposeError:  # the network is being replaced, or was removed under the engine in use
                self._here = None
        return self._here

    def _run(self, wanted: _Wanted, captured: Callable[[], int], cancelled: threading.Event) -> None:
        try:
            found = self._find(wanted, captured, cancelled)
        except CancelledError:
            return
        except Exception as error:  # noqa: BLE001 - top of the thread: what runs goes on as it is
            self._done.add(wanted.place)
            log.warning("input.not_fitted", cause=str(error))
            return
        if cancelled.is_set() or found is None:
            return
        self._done.add(wanted.place)
        if not found.known:
            self._post(found)

    def _find(self, wanted: _Wanted, captured: Callable[[], int], cancelled: threading.Event) -> SizeFound | None:
        if cancelled.wait(SETTLED_S):
            return None
        samples = self._parts.samples
        rate, load, before = CameraMeter(captured), LoadMeter(), samples.results
        if cancelled.wait(RATE_S):
            return None
        camera_fps, took_s = rate.read()
        frames = samples.frames()
        if camera_fps is None or not frames:
            return None
        known = self._fits.known(wanted.place)
        if known is not None and known.whole and (known.measured is None or camera_fps <= RISEN * known.camera_fps):
            return _news(wanted, known, known=True)
        parts, place = self._parts, wanted.place
        log.info("input.fitting", camera_fps=round(camera_fps, 1), age_ms_max=place.age_ms_max)
        footage = Shown.of(frames, place, camera_fps)
        bench = Bench(parts.config, parts.store, parts.workshop, Limits(parts.core), parts.box(), footage)
        fitter = Fitter(
            bench,
            wanted.settings,
            place,
            frames=frames,
            besides_ms=10 * load.stop().cpu_percent * took_s / max(1, samples.results - before),
            results=lambda: samples.results,
            cancelled=cancelled,
        )
        found = fitter.best()
        if found.best is None and found.left_out:
            raise EdgeposeError(f"the box was too busy to measure more than {found.tried} configurations in time")
        return _news(wanted, _fit(wanted, found, camera_fps), known=False)


def _news(wanted: _Wanted, fit: Fit, *, known: bool) -> SizeFound:
    """What is to be told; of what is known already only that it does not run."""
    switch = fit.measured is not None and not _runs(fit, wanted.runs)
    side = max(wanted.runs.height, wanted.runs.width)
    return SizeFound(wanted.settings, fit, side, switch=switch, known=known and not switch)


def _runs(fit: Fit, spec: EngineSpec) -> bool:
    """Whether what was chosen is what runs; not so where nothing was."""
    chosen = (fit.long_side, fit.precision, fit.hint)
    there = (max(spec.height, spec.width), spec.precision, spec.hint)
    pairs = [(wanted, runs) for wanted, runs in zip(chosen, there, strict=True) if wanted is not None]
    return bool(pairs) and all(wanted == runs for wanted, runs in pairs)


def _fit(wanted: _Wanted, found: Chosen, camera_fps: float) -> Fit:
    place, best, whole = wanted.place, found.best, not found.left_out
    if best is None or best.at_pace is None:
        return Fit(place=place, long_side=None, camera_fps=camera_fps, whole=whole)
    recipe, seen = best.recipe, best.at_pace
    long_side = recipe.long_side if place.input is None else None
    precision = recipe.precision if len(place.precisions) > 1 else None
    hint = recipe.hint if place.any_hint else None
    chosen = {"input": long_side, "precision": precision, "hint": hint}
    figures = rounded(
        {
            "age_ms_max": place.age_ms_max,
            "camera_fps": camera_fps,
            "fps": best.fps,
            "age_ms_p95": seen.age_ms_p95,
            "cpu_ms": 10 * seen.cpu_percent / seen.fps,
        }
    )
    measured = Fitted(
        device=recipe.device,
        precision=recipe.precision,
        hint=recipe.hint,
        chosen=tuple(part for part, value in chosen.items() if value is not None),
        tried=found.tried,
        **figures,
    )
    return Fit(
        place=place,
        long_side=long_side,
        precision=precision,
        hint=hint,
        camera_fps=camera_fps,
        measured=measured,
        whole=whole,
    )
