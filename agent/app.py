"""The agent: one supervisor that takes one happening after the other, commands among them.

The main thread only supervises, and publishes the periodic summary. Whatever can take long (opening the camera,
compiling a network) runs beside it, so a signal is answered at once. The parts are put together in
:mod:`agent.assembly`; what commands do is decided in :mod:`agent.control`.
"""

import math
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import cv2
import structlog
from pydantic import JsonValue

from agent.assembly import Assembly, Ended, EngineFailing, Ready, Seen
from agent.capture.frame import CaptureCounts, CaptureEvent, Source
from agent.config.tree import Config
from agent.control import events, overrides
from agent.control.checking import Checking
from agent.control.control import Around, Control
from agent.control.inventory import Known, installed
from agent.control.journal import Journal
from agent.control.state import Phase
from agent.control.works import Over, Progress
from agent.errors import ConfigError, EdgeposeError, EngineError
from agent.inbox import Happening, Inbox, Stop
from agent.link import Dropped, Link
from agent.observe import logs
from agent.observe.host import ProcessMeter
from agent.observe.telemetry import Telemetry
from agent.output.homeassistant import Discovery, Exposed, status_topics
from agent.output.keypoints import Outlet
from agent.output.messages import (
    ID_TAKEN,
    INSTANCE,
    Standing,
    event_message,
    info_message,
    metrics_message,
    zone_message,
)
from agent.output.prometheus import Exporter, Figures
from agent.redact import redact
from agent.service import memory
from agent.service.clock import WallClock
from agent.service.hang import Answering, Hang
from agent.service.systemd import Notifier, Service
from agent.tracking.zones import Occupancy, ZoneWatch
from agent.wire.broker import BrokerError
from agent.wire.commands import Incoming
from agent.wire.messages import Severity, Status, rfc3339
from agent.wire.topics import Topics
from agent.wire.zones import Zones
from models.shelf.store import Store

log = structlog.get_logger()

Facts = dict[str, str | int | float | bool | None]

CLOSE_S = 1.6
"""All is closed within this time, or left to the end of the process."""
INTERPRETER_S = 0.0005
"""After so long a thread that computes gives the interpreter to one that waits for it: a frame's, while another refuses
commands as fast as they come. Python's own 5 ms made its result a sixth older in such a flood."""
METRICS_WINDOWS = 4
"""So many windows after the last summary the broker forgets it: a box that died has no people in view."""
QUIET_S = 0.4
"""How long the goodbye waits for the last keypoints, so that none follows `offline`."""
SIGN_OF_LIFE_S = 60.0
"""The state is said again after so long: of a box that is gone, the broker then knows since when."""
ENGINE_LOGGED = ("execution_devices", "inference_precision", "infer_requests", "compile_ms", "from_cache")


class Agent:
    """One agent, from configuration to exit code.

    What it says goes to the broker; or to another ``outlet``, and then it takes no commands and remembers none. It ends
    after ``frames_max`` frames, if given. ``assemble`` makes the parts that look at frames.
    """

    def __init__(
        self,
        config: Config,
        *,
        outlet: Outlet | None = None,
        frames_max: int | None = None,
        assemble: Callable[..., Assembly] = Assembly,
    ) -> None:
        book = Journal(config.paths.state / f"{config.device_id}.json") if outlet is None else None
        begun = overrides.begin(book.load() if book else None, config, datetime.now(UTC))
        file, config = config, begun.config
        if config.log != file.log:
            logs.set_level(config.log)
        self._config = config
        self._topics = Topics(config.device_id, config.mqtt.prefix)
        self._inbox = Inbox()
        self._telemetry = Telemetry()
        self._meter = ProcessMeter()
        self._clock = WallClock()
        self._standing = Standing(config)
        self._counted = CaptureCounts(0, 0)
        self._since: dict[str, datetime | None] = {}
        self._source: Source | None = None
        self._known: Known | None = None
        self._told: tuple[object, ...] = (None,) * 6
        self._announced_s = -math.inf
        self._frozen: str | None = None
        """What was told of a picture that stands still, which is why the camera is lost."""
        self._outlet = outlet or Link(
            config.mqtt,
            self._topics,
            groups=config.groups,
            on_command=self._inbox.put_command,
            on_trouble=self._on_trouble,
            instance=INSTANCE,
            listen=status_topics(config),
        )
        link = self._outlet if isinstance(self._outlet, Link) else None
        self._figures = Figures(self._standing, self._telemetry, link)
        self._exporter = Exporter(config.prometheus if link else None, self._figures)
        self._control = Control(
            file,
            self._outlet,
            book,
            Around(
                note=self._on_note,
                describe=self._describe,
                end=self._on_end,
                look=self._on_look,
                configure=self._on_settings,
                restart=self.stop,
                supervised=bool(Notifier()),
                check=Checking(config, self._standing.message, self._inbox.put).ask,
            ),
            begun,
        )
        discovered = config.paths.state / f"{config.device_id}.homeassistant.json"
        self._discovery = Discovery(config, self._outlet, link, discovered)
        self._zones = ZoneWatch(self._control.state.record.settings.zones)
        self._service = Service(config, self._control, self._telemetry, link)
        self._hang = Hang(config.inference.hang_timeout_s)
        self._answering = Answering.YES
        self._began_s = time.monotonic()
        self._assembly = assemble(
            config,
            self._outlet,
            self._telemetry,
            frames_max,
            self._inbox.put,
            zones=self._zones,
            strict=outlet is not None,
        )
        self._whole = True
        """Whether what was to be written is, as far as closing can tell."""
        self._starter = threading.Thread(
            target=self._assembly.start, args=(self._control.candidates(),), name="starter", daemon=True
        )

    def stop(self, reason: str) -> None:
        """Ask the agent to end; from any thread or signal handler."""
        self._inbox.put(Stop(reason))

    def run(self) -> int:
        """Run until stopped (0), at the end of a file (0), or until something fails for good (1).

        Returns within 2 s of being stopped, whatever hangs. A compile or a driver that could not be waited for goes on
        in its thread, so the caller must end the process with :func:`os._exit`.
        """
        settings = self._control.state.running
        log.info("agent.starting", device_id=self._config.device_id, model=settings.model, device=settings.device)
        memory.settle()
        # One thread in OpenCV: its own pool would fight OpenVINO's for the cores.
        cv2.setNumThreads(1)
        sys.setswitchinterval(INTERPRETER_S)
        closer = threading.Thread(target=self._run_closer, name="closer", daemon=True)
        with self._outlet, self._exporter:
            code = self._run_supervisor()
            self._service.stopping(code)
            deadline = time.monotonic() + CLOSE_S
            self._assembly.give_up()
            self._standing.become(Status.STOPPING if code == 0 else Status.FAILED)
            self._announce()
            if not self._starter.is_alive():  # else the parts are still the starter's
                closer.start()
                closer.join(QUIET_S)
        if closer.is_alive():
            closer.join(max(0.0, deadline - time.monotonic()))
        if closer.is_alive():
            log.warning("agent.close_timed_out", after_s=CLOSE_S)
        code = code if self._whole else 1
        log.info("agent.stopped", code=code)
        return code

    def _run_closer(self) -> None:
        try:
            self._assembly.close()
        except ConfigError as error:  # a file that was asked for is not whole
            self._whole = False
            self._fail(error)
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
        due = time.monotonic() + self._config.metrics.window_s
        while True:
            self._control.tick()
            if (jump := self._clock.jump()) is not None:
                self._on_note(jump)
            if time.monotonic() >= due:
                due += self._config.metrics.window_s
                self._publish_metrics()
            hung = self._watch_device()
            self._sync()
            if hung is not None:
                self._fail(hung)
                return 1
            self._service.turn(self._standing)
            now = time.monotonic()
            wait_s = min(due - now, self._control.due_s() - now, self._service.due_s - now, self._hang.look_every_s)
            happening = self._inbox.get(wait_s)
            if happening is None:
                continue
            if isinstance(happening, Ready):
                due = time.monotonic() + self._config.metrics.window_s  # the first window is a whole one
            code = self._on(happening)
            if code is not None:
                return code

    def _watch_device(self) -> EngineError | None:
        """Tell of an inference that does not return; the error that ends the agent where it never will."""
        if (running := self._control.running) is None:
            limit_s = self._config.inference.start_timeout_s
            if time.monotonic() - self._began_s < limit_s:
                return None
            hint = "something in its way to an engine does not come back: look at the device and its driver"
            return EngineError(f"no engine runs {limit_s:g} s after the start", hint=hint)
        pipeline, spec = running.pipeline, running.lane.engine.spec
        before = self._answering
        self._answering = self._hang.look(pipeline.begun, pipeline.finished, time.monotonic())
        text = f"{spec.model} on {spec.device} has not answered for {{:g}} s"
        facts: Facts = {"device": spec.device, "model": spec.model, "precision": spec.precision}
        match before, self._answering:
            case Answering.YES, Answering.LATE:
                half_s = self._config.inference.hang_timeout_s / 2
                self._on_note(events.Note("engine.hung", Severity.ERROR, text.format(half_s), facts))
            case Answering.LATE, Answering.YES:
                self._standing.last_error = None
                self._on_note(events.Note("engine.back", Severity.INFO, "the device answers again", facts))
            case _, Answering.NEVER:
                hint = (
                    "the process ends, since nothing else ends a call into a driver; look at the device and its driver"
                )
                return EngineError(text.format(self._config.inference.hang_timeout_s), hint=hint)
        return None

    def _on(self, happening: Happening) -> int | None:
        """Take one happening; the exit code where it is the last."""
        match happening:
            case Stop(reason):
                log.info("agent.stopping", reason=reason)
                self._control.happened(events.Stopped())
                return 0
            case Ended(error):
                return self._on_ended(error)
            case Incoming() if happening.topic in status_topics(self._config):
                self._discovery.heard(happening.payload)
            case Incoming():
                self._control.take(happening)
            case Known():
                self._on_known(happening)
            case Ready():
                self._on_ready(happening)
            case Seen():
                self._on_seen(happening)
            case CaptureEvent():
                self._on_camera(happening)
            case events.Note():
                self._on_note(happening)
            case _:
                self._on_work(happening)
        return None

    def _on_work(self, happening: EngineFailing | Over | Progress | events.Informed | events.SizeFound) -> None:
        match happening:
            case events.Informed() | events.SizeFound():
                self._control.happened(happening)
            case EngineFailing(reason, generation):
                self._control.broken(reason, generation)
            case Over():
                self._on_over(happening)
            case Progress():
                self._service.job_went_on(happening.step)
                self._control.progress(happening)

    def _on_ended(self, error: BaseException | None) -> int:
        if error is not None:
            if self._source is None and isinstance(error, EdgeposeError) and not self._control.unproven:
                # Nothing that could have been built runs here: that says nothing about what was asked for, and a
                # network that is missing for three starts must not cost the device somebody chose.
                self._control.happened(events.Stopped())
            self._fail(error)
            return 1
        log.info("source.ended", frames=self._telemetry.frames_total)
        self._standing.see("ended")
        self._publish_metrics()
        self._control.happened(events.Stopped())
        return 0

    def _on_trouble(self, trouble: BrokerError | Dropped) -> None:
        """Called by the link's thread."""
        if isinstance(trouble, BrokerError):
            text = f"{ID_TAKEN}: {trouble}; {trouble.cure}"
            self._inbox.put(events.Note("broker.taken_over", Severity.WARNING, text, {}))
            return
        limit = trouble.limit_bytes
        bound = f"the broker takes {limit}" if limit is not None else "the broker does not take it"
        text = f"a message of {trouble.packet_bytes} bytes on {trouble.topic} was dropped: {bound}"
        facts: Facts = {"topic": trouble.topic, "bytes": trouble.packet_bytes, "limit": limit}
        self._inbox.put(events.Note("broker.dropped", Severity.WARNING, text, facts))

    def _on_known(self, known: Known) -> None:
        self._known = known
        self._control.know(known.box(self._config))
        self._outlet.announce(self._topics.info, info_message(self._config, known.devices, known.models).encode())
        self._discover()

    def _on_ready(self, ready: Ready) -> None:
        engine = ready.running.lane.engine
        log.info("engine.ready", **{name: getattr(engine.facts, name) for name in ENGINE_LOGGED})
        self._source = ready.source
        self._control.run(ready.running, ready.record, ready.fallen)
        self._service.ready()
        self._sync()
        self._event("agent.started", Severity.INFO, f"{engine.spec.model} runs on {engine.spec.device}", {})

    def _on_over(self, over: Over) -> None:
        working = self._control.state.phase is Phase.WORKING
        self._control.over(over)
        if working and self._known is not None:  # it may have made another variant of a network
            self._on_known(Known(self._known.devices, installed(Store(self._config.paths.models))))

    def _on_camera(self, event: CaptureEvent) -> None:
        # A frozen picture is only the reason: the loss is told right after it.
        warning = event.code in {"camera.lost", "camera.frozen", "camera.damaged", "camera.software"}
        if event.code == "camera.frozen":
            self._frozen = event.message
        elif event.code == "camera.lost":
            self._standing.see("lost", self._frozen or event.message)
        elif event.code in {"camera.opened", "camera.back"}:
            self._frozen = None
            self._standing.see("live")
        self._control.flowing(yes=self._standing.camera == "live")
        self._event(event.code, Severity.WARNING if warning else Severity.INFO, event.message, event.facts)

    def _on_settings(self, config: Config) -> None:
        """Settings that hold at once are other ones."""
        if config.log != self._config.log:
            logs.set_level(config.log)
        self._config = config
        self._assembly.configure(config)

    @property
    def _expiry_s(self) -> int:
        return math.ceil(METRICS_WINDOWS * self._config.metrics.window_s)

    def _on_look(self, zones: Zones) -> None:
        before = self._zones.occupancies()
        self._zones.watch(zones)
        now = self._zones.occupancies()
        for gone in before.keys() - now.keys():
            self._outlet.announce(self._topics.zone(gone), b"")
        for name in now.keys() - before.keys():
            self._tell_zone(name, now[name])

    def _on_seen(self, seen: Seen) -> None:
        sighting, watched = seen.sighting, self._zones.occupancies()

        def moment(at_s: float) -> datetime:
            return seen.captured_at - timedelta(seconds=sighting.at_s - at_s)

        for name, occupancy in sighting.changed.items():
            if name in watched:  # nobody took it away meanwhile
                since_s = occupancy.since_s
                self._tell_zone(name, occupancy, None if since_s is None else moment(since_s))
        for crossing in sighting.crossings:
            facts: Facts = {"zone": crossing.zone, "id": crossing.person, "at": rfc3339(moment(crossing.at_s))}
            if crossing.kind != "entered":
                facts["seconds"] = round(crossing.seconds, 2)
            who, where = f"person {crossing.person}", crossing.zone
            match crossing.kind:
                case "entered":
                    self._event("zone.entered", Severity.INFO, f"{who} entered {where}", facts)
                case "left":
                    self._event("zone.left", Severity.INFO, f"{who} left {where}", facts)
                case "dwell":
                    self._event("zone.dwell", Severity.INFO, f"{who} stays in {where}", facts)

    def _tell_zone(self, name: str, occupancy: Occupancy, since: datetime | None = None) -> None:
        if occupancy.since_s is not None:
            self._since[name] = since = since or self._since.get(name)
        payload = zone_message(self._config, name, occupancy, since).encode()
        self._outlet.announce(self._topics.zone(name), payload, self._expiry_s)

    def _on_note(self, note: events.Note) -> None:
        tell = {Severity.INFO: log.info, Severity.WARNING: log.warning, Severity.ERROR: log.error}[note.severity]
        tell(note.code, message=note.message, **note.facts)
        if note.code in {"engine.degraded", "engine.hung", "broker.taken_over"}:
            self._standing.last_error = note.message
        self._event(note.code, note.severity, note.message, note.facts)

    def _on_end(self, reason: str) -> None:
        self._inbox.put(Ended(EngineError(reason)))

    def _fail(self, error: BaseException) -> None:
        told, hint = str(error), getattr(error, "hint", "")
        if isinstance(error, EdgeposeError):
            log.error("agent.failed", error=told, hint=hint)
        else:
            told = redact(f"{type(error).__name__}: {error}")
            log.error("agent.failed", error=told, exc_info=error)
        self._standing.last_error = f"{told} ({hint})" if hint else told
        self._event("agent.failed", Severity.ERROR, self._standing.last_error, {})

    def _event(self, code: str, severity: Severity, message: str, facts: Facts) -> None:
        self._figures.happened(code)
        self._outlet.event(event_message(self._config, code, severity, message, facts).encode())

    def _describe(self) -> dict[str, JsonValue]:
        known = self._known
        info = info_message(self._config, known.devices, known.models) if known else None
        return {
            "info": info.model_dump(mode="json", by_alias=True) if info else None,
            "state": self._standing.message().model_dump(mode="json", by_alias=True),
        }

    def _sync(self) -> None:
        """Announce the state when it is another one."""
        standing, state = self._standing, self._control.state
        late = self._answering is not Answering.YES
        fitted = self._control.fitted()
        told = (state.record, state.phase, standing.camera, standing.camera_cause, standing.last_error, fitted)
        same = all(now is before for now, before in zip(told, self._told, strict=True))
        if same and time.monotonic() - self._announced_s < SIGN_OF_LIFE_S:
            return
        self._told = told
        running = self._control.running
        standing.version = state.record.version
        standing.requested = state.record.settings.requested()
        standing.zones = state.record.settings.zones
        standing.settings = {key: made.value for key, made in state.record.overrides.items()}
        standing.changed = state.record.changed
        standing.engine = running.lane.engine if running else None
        standing.fitted = fitted
        if not state.record.fallback and standing.status is Status.DEGRADED and not late:
            standing.last_error = None
        standing.become(self._control.status(camera_lost=standing.camera == "lost", late=late))
        self._announce()
        self._discover()

    def _discover(self) -> None:
        """Let Home Assistant know what there is to see and to choose."""
        known, settings = self._known, self._control.state.record.settings
        seen = self._standing.message().input
        long_side = max(seen.width, seen.height) if seen is not None else None
        info = info_message(self._config, known.devices, known.models) if known else None
        self._discovery.tell(Exposed(info, settings.requested(), settings.zones, long_side))

    def _announce(self) -> None:
        last_s = self._telemetry.last_frame_s
        if last_s is not None:
            self._standing.last_frame_at = datetime.now(UTC) - timedelta(seconds=time.perf_counter() - last_s)
        self._announced_s = time.monotonic()
        self._outlet.announce(self._topics.state, self._standing.message().encode())

    def _publish_metrics(self) -> None:
        engine, source = self._standing.engine, self._source
        if engine is None or source is None:
            return
        summary = self._telemetry.take()
        total = source.counts()
        window = total.since(self._counted)
        self._counted = total
        message = metrics_message(self._config, engine, summary, window, self._meter.figures(), self._zones.take())
        self._outlet.announce(self._topics.metrics, message.encode(), self._expiry_s)
        for name, occupancy in self._zones.occupancies().items():  # again, or the broker forgets them
            self._tell_zone(name, occupancy)
        self._figures.take(message)
        self._discovery.tidy()
        # Frames leave holes in the heap, and whatever lies behind one keeps it: a millisecond a window returns them.
        memory.tidy()
