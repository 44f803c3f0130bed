"""Where an engine is built and tried before it may serve: at the start, and beside the one in use."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agent.capture.frame import Frame
from agent.config.tree import Config, InputSize
from agent.control.fits import Fits, Place
from agent.control.settings import Settings
from agent.errors import AccuracyError, CancelledError, EngineError, TrialError
from agent.inference.build import build
from agent.inference.checked import build_checked
from agent.inference.devices import Core
from agent.inference.engine import Engine, build_engine, with_preprocessing
from agent.inference.measure import Conduct
from agent.inference.network import Network
from agent.inference.pair import Stages
from agent.inference.plan import plan
from agent.inference.spec import EngineSpec, input_size
from agent.observe.capacity import threads_usable
from agent.pipeline import Lane, infer
from agent.poses.agreement import POSSIBLE, Outcome, Tally, verdict
from agent.poses.decoders import Decoder, decoder_for, roles_of
from agent.poses.skeleton import Poses
from agent.wire.affinity import Plan
from agent.wire.commands import Agreement
from models.shelf.catalogue import NetworkCard
from models.shelf.store import Store

Tell = Callable[[str, float], None]
"""Hears what is being done, and how much of all is done: 0 to 1."""

REFERENCE_DEVICE = "CPU"
MEASURING_SHARE = 0.4
"""Of the time a switch may take: after that nothing more is measured than a plan cannot do without."""
UNCOMPARED_FRAMES = 3
"""What is compared with nobody is tried on so few frames: the golden picture has judged it already."""


@dataclass(frozen=True, slots=True)
class CheckedLane:
    """An engine that may serve."""

    lane: Lane
    agreement: Agreement | None
    """With FP32 on the processor, on the same frames; None where it is just that, or there was nothing to look at."""


class Workshop:
    """Builds engines; called by one thread at a time or several, and touches nothing that runs.

    ``core`` is what :func:`agent.inference.devices.open_core` gave.
    """

    def __init__(self, config: Config, core: Core, store: Store, fits: Fits | None = None) -> None:
        self._config = config
        self._fits = fits
        self._core = core
        self._store = store

    def configure(self, config: Config, lane: Lane) -> Lane:
        """Take other settings for what is built from now on, and read an engine that is there as they say."""
        self._config = config
        card = self._store.card(lane.engine.spec.model)
        return Lane(lane.engine, self._decoder(card, config.model.person_score_min))

    def build(
        self,
        settings: Settings,
        frames: Sequence[Frame],
        cancelled: threading.Event,
        *,
        before: Frame | None = None,
        judged: bool = False,
        named: bool = False,
        tell: Tell = lambda _step, _share: None,
    ) -> CheckedLane:
        """Build and check an engine, and try it on ``frames``, which should show people.

        ``before`` is what the camera shows, in its own size: what was measured to fit it is found by that, and the
        input takes its shape. Without one it is the last of the frames. A precision that has been ``judged`` before
        needs no people in view now, nor does one that the configuration has ``named``. ``tell`` hears what is being
        measured. Raises ModelError, ConfigError, EngineError, TrialError, AccuracyError, and CancelledError between
        two steps once ``cancelled`` is set.
        """
        card, frame = self._store.card(settings.model), before or (frames[-1] if frames else None)
        settings = self.fitted(settings, frame)
        engine = self.engine(settings, self.size(settings, frame), self._conduct(cancelled, tell))
        decoder = self._decoder(card, self._config.model.person_score_min)
        try:
            _stop_if(cancelled)
            agreement = self._try_on(engine, card, frames, cancelled, judged=judged, named=named)
        except BaseException:
            engine.close()
            raise
        return CheckedLane(Lane(engine, decoder), agreement)

    def plan(self, settings: Settings, before: Frame | None, cancelled: threading.Event, tell: Tell) -> Plan:
        """Where the layers of a network would go, before what the camera shows; of two stages the pose network's.

        Raises ModelError, ConfigError, EngineError, CommandError, and CancelledError once ``cancelled`` is set.
        """
        card = self._store.card(settings.model)
        settings = self.fitted(settings, before)
        spec = self._spec(settings, self.size(settings, before))
        if card.detector is not None:
            spec = replace(spec, height=card.input.height, width=card.input.width)
        network = self._core.read_model(self._store.variant(card.name, spec.precision))
        return plan(self._core, with_preprocessing(network, card, spec), spec, self._conduct(cancelled, tell))

    def engine(self, settings: Settings, size: tuple[int, int], conduct: Conduct | None = None) -> Network:
        """A checked engine of an input size (height, width), not tried on any frame. Raises as :meth:`build` does."""
        card = self._store.card(settings.model)
        gone_about = conduct or Conduct(self._measured())

        def make(each: NetworkCard, spec: EngineSpec) -> Engine:
            roles, cache = roles_of(each), self._cache()
            return build_checked(self._core, self._store, each, spec, roles, cache, conduct=gone_about)

        return build(self._store, card, self._spec(settings, size), self._stages(), make)

    def _stages(self) -> Stages:
        return Stages(self._config.model.persons_max, self._config.model.detect_every)

    def _cache(self) -> Path | None:
        return self._config.paths.cache if self._config.inference.cache else None

    def _measured(self) -> Path | None:
        cache = self._cache()
        return cache / "measured" if cache else None

    def _conduct(self, cancelled: threading.Event, tell: Tell) -> Conduct:
        until_s = time.perf_counter() + MEASURING_SHARE * self._config.switch.timeout_s
        return Conduct(self._measured(), until_s, tell, lambda: _stop_if(cancelled))

    def fitted(self, settings: Settings, frame: Frame | None) -> Settings:
        """The settings with what was measured to fit the camera, where nobody asks for it."""
        place = self.place(settings, frame)
        fit = self._fits.best(place) if self._fits is not None and place is not None else None
        return settings if fit is None else fit.applied(settings)

    def place(self, settings: Settings, frame: Frame | None) -> Place | None:
        """What there is to measure for these settings before this camera; None where nobody wants it measured."""
        age_ms_max, inference = self._config.model.fit_age_ms, self._config.inference
        said = {*inference.model_fields_set, *settings.said}
        if age_ms_max is None or frame is None:
            return None
        resizable = self._store.seeing(self._store.card(settings.model)).input.resizable
        sized = settings.long_side is not None or self._config.model.input != InputSize() or not resizable
        return Place(
            model=settings.model,
            device=settings.device,
            precision=settings.precision,
            hint=settings.hint,
            width=frame.area.width,
            height=frame.area.height,
            age_ms_max=age_ms_max,
            precisions=() if "precision" in said else self._store.precisions(settings.model),
            any_hint="hint" not in said and inference.streams is None and inference.requests is None,
            input=self.size(settings, frame) if sized else None,
        )

    def size(self, settings: Settings, frame: Frame | None) -> tuple[int, int]:
        """Height and width of a network's input; without a frame it is square. Raises ConfigError."""
        size, card = self._config.model.input, self._store.seeing(self._store.card(settings.model))
        if settings.model != self._config.model.name and not card.input.resizable:
            size = InputSize()  # the configured size was meant for the configured network
        if settings.long_side is not None:
            size = InputSize(long_side=settings.long_side)
        return input_size(size, card, frame)

    def _spec(self, settings: Settings, size: tuple[int, int]) -> EngineSpec:
        return EngineSpec(
            model=settings.model,
            device=settings.device,
            precision=settings.precision,
            height=size[0],
            width=size[1],
            hint=settings.hint,
            streams=settings.streams,
            requests=settings.requests,
            threads=self._config.inference.threads or threads_usable(),
            affinity=settings.affinity,
            detector=settings.detector,
        )

    def _decoder(self, card: NetworkCard, score_min: float) -> Decoder:
        return decoder_for(card, person_score_min=score_min, persons_max=self._config.model.persons_max)

    def _try_on(
        self,
        engine: Network,
        card: NetworkCard,
        frames: Sequence[Frame],
        cancelled: threading.Event,
        *,
        judged: bool,
        named: bool,
    ) -> Agreement | None:
        decoder = self._decoder(card, POSSIBLE)
        compared = not is_reference(engine) and not (judged and exact(engine))
        if not compared:
            frames = frames[-UNCOMPARED_FRAMES:]
        try:
            found = [infer(engine, decoder, frame) for frame in frames]
        except EngineError as error:
            raise TrialError(f"{engine.spec.device} fails on the camera's own frames: {error}") from error
        if not frames or not compared:
            return None
        _stop_if(cancelled)
        tally = Tally()
        for reference, poses in zip(self._reference(engine.spec, card, frames), found, strict=True):
            tally.add(reference, poses)
        agreement = tally.agreement()
        self._judge(engine.spec, agreement, judged=judged or named)
        return agreement

    def _reference(self, spec: EngineSpec, card: NetworkCard, frames: Sequence[Frame]) -> list[Poses]:
        """What is found at the same input size by the processor, in f32, with the best weights that are here."""
        wanted = EngineSpec(spec.model, REFERENCE_DEVICE, "FP32", spec.height, spec.width)
        decoder = self._decoder(card, POSSIBLE)

        def make(each: NetworkCard, spec: EngineSpec) -> Engine:
            best = self._store.precisions(each.name)[0]
            self._store.verify_variant(each.name, best)  # a damaged judge would let anything pass
            xml = self._store.variant(each.name, best)
            return build_engine(self._core, each, xml, spec, roles_of(each), cache=None)

        with build(self._store, card, wanted, self._stages(), make) as reference:
            return [infer(reference, decoder, frame) for frame in frames]

    def _judge(self, spec: EngineSpec, agreement: Agreement, *, judged: bool) -> None:
        """Raises AccuracyError for a precision that loses too much, or that nothing speaks for."""
        bar = {"missed_max": self._config.switch.missed_max, "oks_min": self._config.switch.oks_min}
        found = verdict(agreement, **bar)
        only = spec.precision == self._store.precisions(spec.model)[0]  # there is nothing better to choose
        if found.outcome is Outcome.UNJUDGED and spec.precision == "INT8" and not (judged or only):
            # With nobody in view, what was measured when it was made has to speak for it.
            certificate = self._store.certificate(spec.model, "INT8")
            if certificate:
                found = verdict(Agreement(**certificate.agreement.model_dump()), **bar)
            if found.outcome is Outcome.UNJUDGED:
                raise AccuracyError(found.reason, hint="try again when people are in view")
        if found.outcome is Outcome.FAILED:
            lower = spec.precision == "INT8"
            again = "quantize again with people in view" if lower else "choose another device or affinity"
            raise AccuracyError(
                f"{spec.model} at {spec.precision} on {spec.device}: {found.reason}",
                hint=f"{again}, or change switch.missed_max and switch.oks_min",
            )


def exact(engine: Network) -> bool:
    """Whether it computes what FP32 does: in f32, and with the original weights."""
    return engine.facts.inference_precision == "F32" and engine.spec.precision != "INT8"


def is_reference(engine: Network) -> bool:
    """Whether it is what others are compared with: FP32 on the processor alone, in one piece."""
    return exact(engine) and engine.facts.execution_devices == (REFERENCE_DEVICE,) and engine.facts.submodels is None


def _stop_if(cancelled: threading.Event) -> None:
    if cancelled.is_set():
        raise CancelledError("it was given up")
