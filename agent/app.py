"""The composition root: the only file that knows every part. Starts, supervises and closes them.

The main thread only supervises: it takes one happening after the other from its inbox and publishes the periodic
summary. Whatever can take long (opening the camera, compiling a network) runs beside it, so a signal is answered
at once.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import cv2
import structlog

from agent.capture import open_source
from agent.capture.first import FirstFrames
from agent.capture.frame import CaptureCounts, CaptureEvent, EndOfSource, Frame, Source
from agent.config import Config
from agent.errors import EdgeposeError, EngineError, ModelError
from agent.host import ProcessMeter
from agent.inference.devices import list_devices, open_core
from agent.inference.engine import build_engine
from agent.inference.spec import EngineSpec, input_size
from agent.link import Link
from agent.pipeline import Lane, Pipeline, Result
from agent.poses.decoders import decoder_for
from agent.publish import Outlet, encode_keypoints
from agent.reporter import Standing, event_message, info_message, metrics_message
from agent.telemetry import Telemetry
from agent.tracking import track_stage
from agent.video import AnnotatedVideo
from agent.wire.messages import ModelInfo, Severity, Status
from agent.wire.topics import Topics
from models.store import Store

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Stop:
    """Somebody asks the agent to end."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The engine is built and the pipeline is about to run."""

    lane: Lane


@dataclass(frozen=True, slots=True)
class Ended:
    """The pipeline ended: at the end of a file, or by an error."""

    error: BaseException | None


Happening = Stop | Ready | Ended | CaptureEvent
Publish = Callable[[Result], None]
Facts = dict[str, str | int | float | bool | None]

CLOSE_S = 1.6
"""All is closed within this time, or left to the end of the process."""
QUIET_S = 0.4
"""How long the goodbye waits for the last keypoints, so that none follows `offline`."""
ENGINE_LOGGED = ("execution_devices", "inference_precision", "infer_requests", "compile_ms", "from_cache")


class Agent:
    """One agent, from configuration to exit code.

    What it says goes to the broker, or to another ``outlet``; it ends after ``frames_max`` frames, if given.
    """

    def __init__(self, config: Config, *, outlet: Outlet | None = None, frames_max: int | None = None) -> None:
        self._config = config
        self._topics = Topics(config.device_id, config.mqtt.prefix)
        self._inbox: queue.SimpleQueue[Happening] = queue.SimpleQueue()
        self._telemetry = Telemetry()
        self._meter = ProcessMeter()
        self._standing = Standing(config)
        self._counted = CaptureCounts(0, 0)
        self._source: Source | None = None
        self._link = outlet or Link(config.mqtt, self._topics)
        self._frames_max = frames_max
        self._starter = threading.Thread(target=self._run_starter, name="starter", daemon=True)
        self._stopping = threading.Event()
        self._parts = ExitStack()

    def stop(self, reason: str) -> None:
        """Ask the agent to end; from any thread or signal handler."""
        self._inbox.put(Stop(reason))

    def run(self) -> int:
        """Run until stopped (0), at the end of a file (0), or until something fails for good (1).

        Returns within 2 s of being stopped, whatever hangs. A compile or a driver that could not be waited for goes on
        in its thread, so the caller must end the process with :func:`os._exit`.
        """
        config = self._config
        log.info("agent.starting", device_id=config.device_id, model=config.model.name, device=config.inference.device)
        # One thread in OpenCV: its own pool would fight OpenVINO's for the cores.
        cv2.setNumThreads(1)
        closer = threading.Thread(target=self._run_closer, name="closer", daemon=True)
        with self._link:
            code = self._run_supervisor()
            deadline = time.monotonic() + CLOSE_S
            self._stopping.set()
            self._standing.become(Status.STOPPING if code == 0 else Status.FAILED)
            self._announce()
            if not self._starter.is_alive():  # else the parts are still the starter's
                closer.start()
                closer.join(QUIET_S)
        if closer.is_alive():
            closer.join(max(0.0, deadline - time.monotonic()))
        if closer.is_alive():
            log.warning("agent.close_timed_out", after_s=CLOSE_S)
        log.info("agent.stopped", code=code)
        return code

    def _run_closer(self) -> None:
        try:
            self._parts.close()
        except Exception:
            log.exception("agent.close_failed")  # the process is about to end

    def _run_supervisor(self) -> int:
        try:
            self._announce()
            self._starter.start()
            return self._supervise()
        except Exception as error:  # noqa: BLE001 - top of the main thread: the agent ends with this error
            self._fail(error)
            return 1

    def _supervise(self) -> int:
        window_s = self._config.metrics.window_s
        due = time.monotonic() + window_s
        while True:
            try:
                happening = self._inbox.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                due += window_s
                self._publish_metrics()
                continue
            match happening:
                case Stop(reason):
                    log.info("agent.stopping", reason=reason)
                    return 0
                case Ended(None):
                    log.info("source.ended", frames=self._telemetry.frames_total)
                    self._standing.camera = "ended"
                    self._publish_metrics()
                    return 0
                case Ended(BaseException() as error):
                    self._fail(error)
                    return 1
                case Ready(lane):
                    due = time.monotonic() + window_s  # the first window is a whole one
                    self._on_ready(lane)
                case CaptureEvent():
                    self._on_camera(happening)

    def _on_ready(self, lane: Lane) -> None:
        engine = lane.engine
        log.info("engine.ready", **{name: getattr(engine.facts, name) for name in ENGINE_LOGGED})
        self._standing.engine = engine
        self._standing.become(Status.CAMERA_LOST if self._standing.camera == "lost" else Status.RUNNING)
        self._announce()
        self._event("agent.started", Severity.INFO, f"{engine.spec.model} runs on {engine.spec.device}", {})

    def _on_camera(self, event: CaptureEvent) -> None:
        # A frozen picture is only the reason: the loss is told right after it.
        warning = event.code in {"camera.lost", "camera.frozen"}
        if event.code != "camera.frozen":
            self._standing.camera = "lost" if event.code == "camera.lost" else "live"
        if self._standing.engine is not None:
            self._standing.become(Status.CAMERA_LOST if self._standing.camera == "lost" else Status.RUNNING)
        self._event(event.code, Severity.WARNING if warning else Severity.INFO, event.message, event.facts)
        self._announce()

    def _fail(self, error: BaseException) -> None:
        told, hint = str(error), getattr(error, "hint", "")
        if isinstance(error, EdgeposeError):
            log.error("agent.failed", error=told, hint=hint)
        else:
            told = f"{type(error).__name__}: {error}"
            log.error("agent.failed", error=told, exc_info=error)
        self._standing.last_error = f"{told} ({hint})" if hint else told
        self._event("agent.failed", Severity.ERROR, self._standing.last_error, {})

    def _event(self, code: str, severity: Severity, message: str, facts: Facts) -> None:
        self._link.event(event_message(self._config, code, severity, message, facts).encode())

    def _announce(self) -> None:
        last_s = self._telemetry.last_frame_s
        if last_s is not None:
            self._standing.last_frame_at = datetime.now(UTC) - timedelta(seconds=time.perf_counter() - last_s)
        self._link.announce(self._topics.state, self._standing.message().encode())

    def _publish_metrics(self) -> None:
        engine, source = self._standing.engine, self._source
        if engine is None or source is None:
            return
        summary = self._telemetry.take()
        total = source.counts()
        window = CaptureCounts(total.captured - self._counted.captured, total.dropped - self._counted.dropped)
        self._counted = total
        message = metrics_message(self._config, engine, summary, window, self._meter.figures())
        self._link.announce(self._topics.metrics, message.encode())

    def _run_starter(self) -> None:
        try:
            self._start()
        except Exception as error:  # noqa: BLE001 - top of the thread: the supervisor ends the agent with this error
            self._inbox.put(Ended(error))

    def _start(self) -> None:
        config, parts = self._config, self._parts
        store = Store(config.paths.models)
        core = open_core(config.devices.aliases)
        card = store.card(config.model.name)
        self._link.announce(self._topics.info, info_message(config, list_devices(core), tuple(_models(store))).encode())
        xml = store.variant(card.name, config.inference.precision)
        source = open_source(config.camera, resolve_clip=store.clip, notify=self._inbox.put)
        if self._frames_max is not None:
            source = FirstFrames(source, self._frames_max)
        self._source = parts.enter_context(closing(source))
        first = _first_frame(source, config.camera.open_timeout_s)
        decoder = decoder_for(
            card, person_score_min=config.model.person_score_min, persons_max=config.model.persons_max
        )
        spec = _engine_spec(config, input_size(config.model.input, card, first))
        cache = config.paths.cache if config.inference.cache else None
        try:
            engine = parts.enter_context(build_engine(core, card, xml, spec, decoder.roles, cache))
        except EngineError:
            store.verify(card.name)  # a damaged file explains it better, and has a cure
            raise
        publish = self._publisher()
        lane = Lane(engine, decoder)
        pipeline = Pipeline(
            source,
            lane,
            publish=publish,
            timed=self._telemetry.add,
            on_end=lambda error: self._inbox.put(Ended(error)),
            track=track_stage(config.tracking, config.smoothing),
        )
        parts.callback(pipeline.stop)
        self._inbox.put(Ready(lane))  # before the pipeline's first word, which may be its last
        self._telemetry.take()
        if not self._stopping.is_set():
            pipeline.start(first)

    def _publisher(self) -> Publish:
        link, device_id, output = self._link, self._config.device_id, self._config.output
        video: AnnotatedVideo | None = None
        if output.video_file is not None:
            video = self._parts.enter_context(AnnotatedVideo(output.video_file, output.video_fps, blur=output.blur))

        def publish(result: Result) -> None:
            link.keypoints(encode_keypoints(result, device_id))
            if video is not None:
                video.write(result)

        return publish


def _models(store: Store) -> Iterator[ModelInfo]:
    for name in store.names():
        try:
            precisions = store.precisions(name)
        except ModelError as error:  # it may be another one that we are to run
            log.warning("model.unreadable", model=name, error=str(error), hint=error.hint)
            continue
        if precisions:  # a clip has none
            yield ModelInfo(name=name, precisions=precisions)


def _engine_spec(config: Config, size: tuple[int, int]) -> EngineSpec:
    inference = config.inference
    return EngineSpec(
        model=config.model.name,
        device=inference.device,
        precision=inference.precision,
        height=size[0],
        width=size[1],
        hint=inference.hint,
        streams=inference.streams,
        requests=inference.requests,
        threads=inference.threads,
    )


def _first_frame(source: Source, timeout_s: float) -> Frame | None:
    """The first frame tells the shape of the picture; a camera that is down does not hold up the engine."""
    try:
        return source.read(timeout_s)
    except EndOfSource:
        return None
