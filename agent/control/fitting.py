"""Finds the largest input size that fits the camera, beside the engine in use, and tells it as news.

The size is tried as `tune` tries one, on the camera's last frames. It begins once poses flow, and whatever somebody
asks for ends it; it then begins again when nothing is asked for. What is done about it is decided by the machine.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from agent.benchmark.fit import Look, holds, largest, look
from agent.benchmark.tune import long_sides
from agent.capture.frame import Frame
from agent.config.tree import Config, InputSize
from agent.control.courtesy import behind
from agent.control.events import SizeFound
from agent.control.fits import Fit, Fits, Place
from agent.control.samples import Samples
from agent.control.settings import Settings
from agent.control.works import CameraMeter
from agent.control.workshop import Workshop
from agent.errors import CancelledError, EdgeposeError
from agent.inference.spec import EngineSpec
from agent.output.messages import rounded
from agent.pipeline import Lane
from agent.poses.decoders import decoder_for
from agent.wire.messages import Fitted
from models.shelf.store import Store

SETTLED_S = 5.0
"""From the first poses to the moment the camera's rate is counted."""
RATE_S = 5.0
"""Over which it is counted."""
RISEN = 1.25
"""Times the rate a size was chosen for: from there on it is chosen anew."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is to be fitted."""

    settings: Settings
    place: Place
    runs: tuple[int, int]
    """Height and width of the input in use."""


class Fitting:
    """Measures in a thread of its own, one thing at a time; all else is called by the supervisor.

    ``captured`` counts the camera's frames; without it there is no pace to hold, and nothing is measured. What was
    found goes to ``post``.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        workshop: Workshop,
        samples: Samples,
        fits: Fits,
        *,
        captured: Callable[[], int] | None,
        post: Callable[[SizeFound], None],
    ) -> None:
        self._config = config
        self._store = store
        self._workshop = workshop
        self._samples = samples
        self._fits = fits
        self._captured = captured
        self._post = post
        self._done: set[Place] = set()
        self._cancelled = threading.Event()
        self._thread: threading.Thread | None = None

    def consider(self, settings: Settings, spec: EngineSpec) -> None:
        """Nothing else is to be done: measure what has not been measured since the start."""
        age_ms_max, captured = self._config.model.fit_age_ms, self._captured
        if age_ms_max is None or captured is None or self._fits.suspended or self._config.model.input != InputSize():
            return
        card, latest = self._store.card(settings.model), self._samples.latest
        if latest is None or not self._store.seeing(card).input.resizable:
            return
        if card.detector is not None and not self._samples.people_seen:
            return  # what two stages cost depends on whom they see
        place = Place.of(settings, latest.frame, age_ms_max)
        if place in self._done or (self._thread is not None and self._thread.is_alive()):
            return
        wanted = _Wanted(settings, place, (spec.height, spec.width))
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
        """Why the input in use is as large as it is; None where it was not fitted. The same object each time."""
        age_ms_max, latest = self._config.model.fit_age_ms, self._samples.latest
        if age_ms_max is None or latest is None or settings.long_side is not None:
            return None
        fit = self._fits.best(Place.of(settings, latest.frame, age_ms_max))
        return fit.measured if fit is not None and fit.long_side == max(spec.height, spec.width) else None

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
        meter = CameraMeter(captured)
        if cancelled.wait(RATE_S):
            return None
        camera_fps, _took_s = meter.read()
        frames = self._samples.frames()
        if camera_fps is None or not frames:
            return None
        known = self._fits.known(wanted.place)
        if known is not None and (known.long_side is None or camera_fps <= RISEN * known.camera_fps):
            return self._news(wanted, known, frames[-1], known=True)
        log.info("input.fitting", camera_fps=round(camera_fps, 1), age_ms_max=wanted.place.age_ms_max)
        best = largest(self._looks(wanted, frames, camera_fps, cancelled), camera_fps, wanted.place.age_ms_max)
        return self._news(wanted, _fit(wanted, best, camera_fps), frames[-1], known=False)

    def _looks(
        self, wanted: _Wanted, frames: tuple[Frame, ...], camera_fps: float, cancelled: threading.Event
    ) -> list[Look]:
        """From the smallest on, until one does not hold: none larger will."""
        card = self._store.card(wanted.settings.model)
        limits = self._config.model
        decoder = decoder_for(card, person_score_min=limits.person_score_min, persons_max=limits.persons_max)
        looks: list[Look] = []
        for side in long_sides(self._store.seeing(card), wanted.place.width, wanted.place.height):
            settings = wanted.settings.model_copy(update={"long_side": side})
            try:
                with behind():
                    engine = self._workshop.engine(settings, self._workshop.size(settings, frames[-1]))
                with engine:
                    if cancelled.is_set():
                        raise CancelledError("something else is asked for")
                    looks.append(look(side, Lane(engine, decoder), frames, camera_fps, cancelled))
            except CancelledError:
                raise
            except EdgeposeError as error:
                log.warning("input.size_failed", long_side=side, cause=str(error))
                break
            log.info("input.size_tried", **_facts(looks[-1]))
            if not holds(looks[-1], camera_fps, wanted.place.age_ms_max):
                break
        return looks

    def _news(self, wanted: _Wanted, fit: Fit, frame: Frame, *, known: bool) -> SizeFound:
        """What is to be told; of what is known already only that it does not run."""
        settings = wanted.settings
        if fit.long_side is None:
            return SizeFound(settings, fit, max(wanted.runs), switch=False, known=known)
        size = self._workshop.size(settings.model_copy(update={"long_side": fit.long_side}), frame)
        switch = size != wanted.runs
        return SizeFound(settings, fit, max(wanted.runs), switch=switch, known=known and not switch)


def _fit(wanted: _Wanted, best: Look | None, camera_fps: float) -> Fit:
    if best is None or best.age_ms is None:
        return Fit(place=wanted.place, long_side=None, camera_fps=camera_fps)
    figures = rounded(
        {"age_ms_max": wanted.place.age_ms_max, "camera_fps": camera_fps, "fps": best.fps, "age_ms_p95": best.age_ms}
    )
    measured = Fitted(device=wanted.settings.device, precision=wanted.settings.precision, **figures)
    return Fit(place=wanted.place, long_side=best.long_side, camera_fps=camera_fps, measured=measured)


def _facts(tried: Look) -> dict[str, float | None]:
    return rounded({"long_side": tried.long_side, "fps": tried.fps, "age_ms_p95": tried.age_ms})
