"""From a configuration to a running pipeline. Takes seconds, so it runs beside the supervisor."""

import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime

import structlog

from agent.capture import open_source
from agent.capture.first import FirstFrames
from agent.capture.frame import CaptureEvent, EndOfSource, Frame, Source
from agent.config.tree import Config
from agent.control import journal
from agent.control.control import Running
from agent.control.events import Note, SizeFound
from agent.control.fetching import Fetching
from agent.control.fits import Fits
from agent.control.fitting import Fitting
from agent.control.inventory import Known, installed
from agent.control.quantizing import Quantizing
from agent.control.reshaping import Reshaping
from agent.control.samples import Samples
from agent.control.studying import Parts, Studies
from agent.control.tuning import Tunings
from agent.control.works import Over, Progress, Works
from agent.control.workshop import CheckedLane, Workshop
from agent.errors import ConfigError, EdgeposeError, ModelError
from agent.inference.devices import list_devices, open_core
from agent.observe.telemetry import Telemetry
from agent.output.keypoints import Outlet, encode_keypoints
from agent.output.video import AnnotatedVideo
from agent.pipeline import Pipeline, Result
from agent.poses.skeleton import Poses
from agent.tracking import Follower
from agent.tracking.zones import Sighting, ZoneWatch
from agent.wire.messages import Severity
from models.shelf.store import Store

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ready:
    """The engine is built and the pipeline is about to run."""

    running: Running
    source: Source
    record: journal.Record
    """What it was built from."""
    fallen: str | None
    """Why that is not what was asked for."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The pipeline ended: at the end of a file, or by an error."""

    error: BaseException | None


@dataclass(frozen=True, slots=True)
class EngineFailing:
    """The engine of this generation failed several times in a row."""

    reason: str
    generation: int


@dataclass(frozen=True, slots=True)
class Seen:
    """People crossed the line of a zone, in a frame captured at this moment."""

    sighting: Sighting
    captured_at: datetime


News = Known | Ready | Ended | EngineFailing | CaptureEvent | Over | Progress | Seen | SizeFound | Note


class Assembly:
    """Everything that holds a handle, made in :meth:`start` and closed in :meth:`close`; news go to ``post``.

    With ``strict`` a video file that cannot be written is an error; else it is news, and poses go on without it.
    """

    def __init__(
        self,
        config: Config,
        outlet: Outlet,
        telemetry: Telemetry,
        frames_max: int | None,
        post: Callable[[News], None],
        *,
        zones: ZoneWatch,
        strict: bool = False,
    ) -> None:
        self._config = config
        self._outlet = outlet
        self._telemetry = telemetry
        self._frames_max = frames_max
        self._post = post
        self._zones = zones
        self._strict = strict
        self._people = Follower(config.tracking, config.smoothing)
        self._parts = ExitStack()
        self._stopping = threading.Event()

    def start(self, candidates: list[journal.Record]) -> None:
        """Begin with the first of ``candidates`` that can be built; its failure, or that of all of them, is news."""
        try:
            self._start(candidates)
        except Exception as error:  # noqa: BLE001 - top of the thread: the supervisor ends the agent with this error
            self._post(Ended(error))

    def configure(self, config: Config) -> None:
        """Take other settings for following people, from the next frame on."""
        self._people.configure(config.tracking, config.smoothing)

    def give_up(self) -> None:
        """Do not begin any more."""
        self._stopping.set()

    def close(self) -> None:
        """Close everything; waits for what is on the device."""
        self._parts.close()

    def _start(self, candidates: list[journal.Record]) -> None:
        config, parts = self._config, self._parts
        store = Store(config.paths.models)
        core = open_core(config.devices.aliases)
        known = Known(list_devices(core), installed(store))
        self._post(known)
        _require_network(store, candidates)
        source = open_source(config.camera, resolve_clip=store.clip, notify=self._post)
        if self._frames_max is not None:
            source = FirstFrames(source, self._frames_max)
        parts.enter_context(closing(source))
        first = _first_frame(source, config.camera.open_timeout_s)
        fits = Fits(config.paths.state / f"{config.device_id}-fits.json")
        if len(candidates[0].deaths) >= journal.DEATHS_MAX - 1 and fits.suspend():
            log.warning("input.suspended", cause="the agent kept dying with what was measured to fit")
        workshop = Workshop(config, core, store, fits)
        frames = (first,) if first else ()
        try:
            checked, record, fallen = self._first_engine(workshop, candidates, frames)
        except EdgeposeError:
            if not fits.suspend():
                raise
            log.warning("input.suspended", cause="no engine could be built with what was measured to fit")
            checked, record, fallen = self._first_engine(workshop, candidates, frames)
        samples = Samples(first)
        pipeline = Pipeline(
            source,
            checked.lane,
            publish=self._publisher(samples),
            timed=self._telemetry.add,
            on_end=lambda error: self._post(Ended(error)),
            on_broken=lambda error, generation: self._post(EngineFailing(str(error), generation)),
            track=self._follower(),
        )
        parts.callback(pipeline.stop)
        if record.settings.paused:
            pipeline.pause()
        goes_on = journal.unfinished(record) is not None
        bench = Parts(config, core, store, workshop, samples, known.devices, pipeline.rest)
        studies = Studies(bench, goes_on=goes_on)
        parts.callback(studies.leave)
        quantizing = Quantizing(config, samples)
        parts.callback(quantizing.close)
        fetching = Fetching(config)
        parts.callback(fetching.close)
        jobs = {
            "quantize": quantizing.run,
            "fetch": fetching.run,
            "benchmark": studies.run,
            "sweep": studies.run,
            "tune": Tunings(bench).run,
        }
        captured = None if config.camera.waits else lambda: source.counts().captured
        works = Works(
            workshop, samples, self._telemetry, jobs, switch=config.switch, captured=captured, post=self._post
        )
        fitting = Fitting(bench, fits, captured=captured, post=self._post)
        parts.callback(fitting.cancel)
        reshaping = None if config.camera.waits else Reshaping(workshop, samples)
        running = Running(pipeline, checked.lane, works, samples, reshaping, fitting)
        parts.callback(lambda: running.lane.engine.close())  # noqa: PLW0108 - the lane in use then, not now
        self._post(Ready(running, source, record, fallen))  # before the pipeline's first word, which may be its last
        self._telemetry.take()
        if not self._stopping.is_set():
            pipeline.start(first)

    def _first_engine(
        self, workshop: Workshop, candidates: list[journal.Record], frames: tuple[Frame, ...]
    ) -> tuple[CheckedLane, journal.Record, str | None]:
        first_error: EdgeposeError | None = None
        for record in candidates:
            settings = journal.running(record)
            try:
                # What commands asked for has been judged when it was accepted.
                judged = settings.requested() != record.base.requested()
                # What it names itself is somebody's choice: that nobody is in view yet speaks not against it.
                checked = workshop.build(settings, frames, self._stopping, judged=judged, named=not judged)
            except EdgeposeError as error:
                log.warning("engine.failed", device=settings.device, model=settings.model, error=str(error))
                first_error = first_error or error
            else:
                return checked, record, str(first_error) if first_error else None
        assert first_error is not None
        raise first_error

    def _follower(self) -> Callable[[Poses, Frame], Poses]:
        """Nobody under a mask is followed."""
        zones, people = self._zones, self._people

        def follow(poses: Poses, frame: Frame) -> Poses:
            rows, columns = frame.size
            return people.update(zones.masked(poses, columns, rows), frame.scene_s)

        return follow

    def _publisher(self, samples: Samples) -> Callable[[Result], None]:
        outlet, device_id, output = self._outlet, self._config.device_id, self._config.output
        zones = self._zones
        video: AnnotatedVideo | None = None
        if output.video_file is not None:
            told = None if self._strict else self._video_failed
            drawn = AnnotatedVideo(output.video_file, output.video_fps, blur=output.blur, on_failure=told)
            video = self._parts.enter_context(drawn)

        def publish(result: Result) -> None:
            outlet.keypoints(encode_keypoints(result, device_id))
            samples.offer(result)
            rows, columns = result.frame.size
            sighting = zones.look(result.poses, columns, rows, result.frame.scene_s)
            if sighting.crossings or sighting.changed:
                self._post(Seen(sighting, result.frame.captured_at))
            if video is not None:
                video.write(result)

        return publish

    def _video_failed(self, error: ConfigError) -> None:
        text = f"{error}: it ends here, poses go on"
        if self._stopping.is_set():  # nobody takes news any more
            log.warning("video.failed", message=text, hint=error.hint)
        else:
            self._post(Note("video.failed", Severity.WARNING, text, {"hint": error.hint}))


def _require_network(store: Store, candidates: list[journal.Record]) -> None:
    """The first thing a fresh box lacks, told before anything is opened. Raises ModelError."""
    missing: ModelError | None = None
    for settings in map(journal.running, candidates):
        try:
            store.variant(settings.model, settings.precision)
        except ModelError as error:
            missing = missing or error
        else:
            return
    assert missing is not None
    raise missing


def _first_frame(source: Source, timeout_s: float) -> Frame | None:
    """The first frame tells the shape of the picture; a camera that is down does not hold up the engine."""
    try:
        return source.read(timeout_s)
    except EndOfSource:
        return None
