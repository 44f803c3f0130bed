"""Carries out what the state machine decides. Everything here runs in the supervisor's thread.

The path of a command: the link puts it into the agent's inbox as it came; :meth:`Control.take` reads it, the machine
decides, and :meth:`Control._perform` does it. What takes long is done in :mod:`agent.control.works`, and what came of
it comes back through the inbox to :meth:`Control.over`.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog
from pydantic import JsonValue

from agent.config.remote import REMOTE, with_values
from agent.config.tree import Commands, Config
from agent.control import events, faults, journal, overrides
from agent.control.asking import Box
from agent.control.classify import idle, untouched
from agent.control.events import Effect, Event
from agent.control.fitting import Fitting
from agent.control.machine import step
from agent.control.reshaping import Reshaping
from agent.control.samples import Samples
from agent.control.settings import Settings
from agent.control.snapshot import snapshot
from agent.control.state import Phase, State
from agent.control.works import Over, Progress, Swapped, Works
from agent.control.workshop import CheckedLane
from agent.errors import ConfigError
from agent.observe import logs
from agent.observe.logs import Sparing
from agent.output.keypoints import Outlet
from agent.pipeline import Handover, Lane, Pipeline
from agent.wire.codec import Refused, decode, refusal
from agent.wire.commands import Command, GetSettings, Incoming, Job, Logs, LogsResult, Pace
from agent.wire.messages import Fitted, Severity, Status
from agent.wire.topics import Topics
from agent.wire.trust import KeyFileError, Terms, read_keys
from agent.wire.zones import Zones

log = structlog.get_logger()

TIDY_S = 3600.0


@dataclass(slots=True)
class Running:
    """What runs, once it does."""

    pipeline: Pipeline
    lane: Lane
    works: Works
    samples: Samples
    reshaping: Reshaping | None = None
    """None where a file is looked at that waits for its results."""
    fitting: Fitting | None = None
    """None where there is nothing to choose."""
    previous: Lane | None = None
    """The engine that was in use before, until the new one has shown what it does."""


@dataclass(frozen=True, slots=True)
class Around:
    """What control has the rest of the agent do."""

    note: Callable[[events.Note], None]
    """Tells of something that happened."""
    describe: Callable[[], dict[str, JsonValue]]
    """Says what the agent is."""
    end: Callable[[str], None]
    """Ends it with an error."""
    look: Callable[[Zones], None]
    """Counts people in other zones."""
    configure: Callable[[Config], None] = lambda _config: None
    """Hears of settings that hold at once."""
    restart: Callable[[str], None] = lambda _reason: None
    """Ends it, for whoever supervises to start it again."""
    supervised: bool = False
    """Whether somebody does."""
    check: Callable[[Command], None] = lambda _command: None
    """Looks for what is wrong, beside everything else; what it found comes back as :class:`events.Informed`."""


class Control:
    """Commands in, replies out.

    ``config`` is the file's; ``begun`` is what the start made of it and of the record. ``book`` is where it is written
    what must survive; without one nothing does. Raises ConfigError where the keys of signed commands cannot be read.
    """

    def __init__(
        self,
        config: Config,
        outlet: Outlet,
        book: journal.Journal | None,
        around: Around,
        begun: overrides.Begun | None = None,
    ) -> None:
        begun = begun or overrides.begin(book.load() if book else None, config, datetime.now(UTC))
        self._file = config
        self._config = config = begun.config
        self._topics = Topics(config.device_id, config.mqtt.prefix)
        self._terms = terms_of(config.commands)
        self._outlet = outlet
        self._around = around
        self._note = around.note
        self._book = book
        self._box = Box(config.device_id, (), {}, config.output.snapshots, self._file, around.supervised)
        self.running: Running | None = None
        """None until the first engine is built."""
        self._flowing = False
        self._built: dict[int, CheckedLane] = {}
        self._before = Pace(fps=None, latency=None)
        self._overdue_s: float | None = None
        self._settle_s: float | None = None
        self._tidy_s = time.monotonic() + TIDY_S
        self._unsaved = False
        self._heard = Sparing()
        self._newest: Job | None = None
        self.state = self._boot(begun)

    def candidates(self) -> list[journal.Record]:
        """What to start with, best first: what is asked for, then what the agent would fall back to."""
        found = [self.state.record]
        while (other := journal.fall_back(found[-1])) is not None and len(found) < 3:
            found.append(other)
        return found

    def know(self, box: Box) -> None:
        """Learn what this box can do; commands that came earlier wait."""
        self._box = replace(box, file=self._file, supervised=self._around.supervised)

    def run(self, running: Running, record: journal.Record, fallen: str | None) -> None:
        """The first engine runs, built from ``record``; ``fallen`` says why it is not the one asked for."""
        self.running = running
        if record.settings.paused:
            running.pipeline.pause()
        self.happened(events.Started(record, fallen))

    @property
    def unproven(self) -> bool:
        """Whether it runs with settings under which it has not yet run for a while."""
        return self.state.record.overrides != self.state.record.proven

    def flowing(self, *, yes: bool) -> None:
        """Whether the camera gives frames."""
        self._flowing = yes

    def take(self, incoming: Incoming) -> None:
        """A command came off the broker."""
        try:
            command = decode(incoming, self._topics, self._config.groups, self._terms)
        except Refused as refused:
            error = refused.error
            self._heard.info("command.refused", command=refused.command, code=error.code, reason=error.message)
            if refused.address is not None:
                reply = refusal(refused, self._config.device_id, self.state.record.version, datetime.now(UTC))
                self._outlet.reply(refused.address, reply.encode())
            return
        self._heard.info("command.received", command=command.name, id=command.id)
        self.happened(events.Asked(command))

    def over(self, over: Over) -> None:
        """A thread of :mod:`agent.control.works` has ended."""
        work, number = self.state.work, over.event.number
        wanted = work is not None and work.number == number
        if wanted and over.lane is not None:
            self._built[number] = over.lane
        elif over.lane is not None:
            _retire(over.lane.lane)
        self.happened(over.event)
        if not wanted:
            self.happened(events.StrayEnded(number))

    def progress(self, progress: Progress) -> None:
        """A job, or what a command measures, is at another step; that is told, and nothing is written."""
        work = self.state.work
        if work is None or work.number != progress.number:
            return
        if work.job is None:
            facts: events.Facts = {
                "id": work.command.id if work.command else None,
                "percent": round(100 * progress.share),
            }
            self._note(events.Note("switch.progress", Severity.INFO, progress.step, facts))
            return
        job = next(job for job in self.state.record.jobs if job.id == work.job)
        news = {"sent_at": datetime.now(UTC), "step": progress.step, "progress": progress.share}
        self._newest = job.model_copy(update=news)
        self._outlet.announce(self._topics.job(job.id), self._newest.encode())

    def broken(self, reason: str, generation: int) -> None:
        """The engine of this generation keeps failing; news of one that is gone already is old."""
        if self.running is not None and generation == self.running.lane.engine.generation:
            self.happened(events.Broken(reason))

    def happened(self, event: Event) -> None:
        """Let the machine decide, and do it."""
        if isinstance(event, events.Done | events.Failed | events.Stopped):  # how far it came stays with its end
            self.state = replace(self.state, record=self._record())
        before = self.state
        self.state, effects = step(before, event, self._box, datetime.now(UTC))
        for effect in effects:
            self._perform(effect)
        self._after(before)

    def _record(self) -> journal.Record:
        """The record, with how far the job that runs has told it is."""
        job = journal.unfinished(self.state.record)
        newest = self._newest
        same = job is not None and newest is not None and newest.id == job.id
        return journal.with_job(self.state.record, newest) if same and newest else self.state.record

    def status(self, *, camera_lost: bool, late: bool = False) -> Status:
        """What the agent is doing, in a word; ``late`` where the device owes an answer."""
        record = self.state.record
        match self.state.phase:
            case Phase.STARTING:
                return Status.STARTING
            case Phase.SWITCHING | Phase.MEASURING:
                return Status.SWITCHING
            case Phase.STOPPING:
                return Status.STOPPING
            case Phase.WORKING if self._studying():
                return Status.BENCHMARKING
        if record.settings.paused:
            return Status.PAUSED
        if camera_lost:
            return Status.CAMERA_LOST
        return Status.DEGRADED if record.fallback or late else Status.RUNNING

    def _studying(self) -> bool:
        job = journal.unfinished(self.state.record)
        return job is not None and job.command in journal.HOLDING

    def due_s(self) -> float:
        """When :meth:`tick` has something to do, on the monotonic clock."""
        return min(due for due in (self._overdue_s, self._settle_s, self._tidy_s) if due is not None)

    def tick(self) -> None:
        """Do what is due."""
        now = time.monotonic()
        if self._overdue_s is not None and now >= self._overdue_s and self.state.work is not None:
            self.happened(events.Overdue(self.state.work.number, faults.overdue(self._config.switch.timeout_s)))
        if self._settle_s is not None and now >= self._settle_s:
            self._settle_s = None
            self.happened(events.Settled())
        if now >= self._tidy_s:
            self._tidy_s = now + TIDY_S
            self.happened(events.Tidied())
        self._reshape()
        self._fit()

    def fitted(self) -> Fitted | None:
        """Why input, precision and hint in use are what they are, where that was measured."""
        if (running := self.running) is None or running.fitting is None:
            return None
        return running.fitting.told(self.state.record.settings, running.lane.engine.spec)

    def _reshape(self) -> None:
        """Follow the shape of the camera's picture, which nobody asks for: while nothing else is to be done."""
        if (running := self.running) is None or running.reshaping is None or not (self._flowing and idle(self.state)):
            return
        spec = running.lane.engine.spec
        if (reshaped := running.reshaping.look(self.state.running, spec, time.monotonic())) is not None:
            self.happened(reshaped)

    def _fit(self) -> None:
        """Let what fits be measured while nothing else is to be done; whatever somebody asks for ends that."""
        if (running := self.running) is None or running.fitting is None or self._book is None:
            return
        if self._flowing and untouched(self.state):
            running.fitting.consider(self.state.record.settings, running.lane.engine.spec)
        else:
            running.fitting.cancel()

    def _perform(self, effect: Effect) -> None:
        match effect:
            case events.Save(record):
                self._save(record)
            case events.Send(address, payload):
                self._outlet.reply(address, payload)
            case events.Inform(command):
                self._inform(command)
            case events.Note():
                self._note(effect)
            case events.Publish(job):
                self._outlet.announce(self._topics.job(job.id), job.encode())
            case events.Clear(job_id):
                self._outlet.announce(self._topics.job(job_id), b"")
            case events.End(reason):
                self._around.end(reason)
            case events.Look() | events.Configure() | events.Restart():
                self._turn_to(effect)
            case events.Remember(fit):
                assert self.running is not None
                assert self.running.fitting is not None
                self.running.fitting.keep(fit)
            case _:
                assert self.running is not None
                self._act(self.running, effect)

    def _turn_to(self, effect: events.Look | events.Configure | events.Restart) -> None:
        match effect:
            case events.Look(zones):
                self._around.look(zones)
            case events.Configure(values):
                self._take_settings(values)
            case events.Restart(reason):
                self._around.restart(reason)

    def _take_settings(self, values: overrides.Values) -> None:
        self._config = with_values(self._config, values)
        if (running := self.running) is not None:
            running.lane = running.works.configure(self._config, running.lane)
            running.pipeline.read_by(running.lane)
        self._around.configure(self._config)

    def _act(
        self, running: Running, effect: events.Begin | events.Swap | events.SwapBack | events.Abandon | events.Flow
    ) -> None:
        match effect:
            case events.Begin(work):
                self._overdue_s = None if work.job else time.monotonic() + self._config.switch.timeout_s
                self._before = running.works.pace()  # before it has to share the processor with a compiler
                running.works.begin(work)
            case events.Swap(work):
                self._swap(running, work)
            case events.SwapBack(_work):
                assert running.previous is not None
                self._replace(running, running.previous)
            case events.Abandon(number):
                running.works.cancel(number)
            case events.Flow(paused):
                (running.pipeline.pause if paused else running.pipeline.resume)()

    def _swap(self, running: Running, work: events.Work) -> None:
        self._overdue_s = None  # what follows ends by itself
        built = self._built.pop(work.number)
        handover = self._replace(running, built.lane)
        flowing = self._flowing and not self.state.record.settings.paused
        running.works.measure(Swapped(work, built.lane, built.agreement, handover, self._before, flowing))

    def _replace(self, running: Running, lane: Lane) -> Handover:
        lane.engine.generation = running.lane.engine.generation + 1
        running.previous, handover = running.pipeline.replace(lane)
        running.lane = lane
        return handover

    def _after(self, before: State) -> None:
        """What follows from the state alone. One step may end work and begin the next, which was waiting."""
        if self.state.work is None:
            self._overdue_s = None
        started = before.phase is Phase.STARTING and self.state.phase is not Phase.STARTING
        if started or self.state.running is not before.running:
            self._settle_s = time.monotonic() + self._config.switch.good_after_s
        if (running := self.running) is not None and running.previous and self.state.phase is not Phase.MEASURING:
            _retire(running.previous)
            running.previous = None

    def _inform(self, command: Command) -> None:
        result: dict[str, JsonValue]
        match command.name:
            case "check":
                self._around.check(command)
                return
            case "logs":
                assert isinstance(command.args, Logs)
                result = LogsResult(lines=logs.recent(command.args.lines)).model_dump(mode="json")
            case "describe":
                result = self._around.describe()
            case "get":
                assert isinstance(command.args, GetSettings)
                result = overrides.told(self.state.record, self._box, command.args.keys or REMOTE)
            case "jobs":
                result = {
                    "jobs": [
                        job.model_dump(mode="json", by_alias=True, exclude={"result"}) for job in self._record().jobs
                    ]
                }
            case _:
                latest = self.running.samples.latest if self.running else None
                result = snapshot(latest, blur=self._config.output.blur)
        self.happened(events.Informed(command, result))

    def _boot(self, begun: overrides.Begun) -> State:
        now = datetime.now(UTC)
        booted = journal.boot(begun.record, Settings.of(self._config), now)
        record, running = booted.record, journal.running(booted.record)
        for reason in begun.reasons:
            text = f"settings that commands had made are void: {reason}"
            self._note(events.Note("settings.reset", Severity.WARNING, text, {}))
        self._note_boot(booted)
        if (orphan := booted.orphan) is not None:
            payload = faults.orphaned(orphan, self._config.device_id, record.version, now)
            record = journal.remember(record, orphan.id, payload.decode(), now)
        self._save(record)
        if orphan is not None:
            self._outlet.reply(orphan.reply_to, payload)
        for job in record.jobs:
            self._outlet.announce(self._topics.job(job.id), job.encode())
        return State(record, running, replies={r.id: r.payload.encode() for r in record.replies})

    def _note_boot(self, booted: journal.Boot) -> None:
        """Tell what became of what was asked for before."""
        if self._book is not None and self._book.damage is not None:
            text = f"{self._book.path} was damaged ({self._book.damage}): what commands had asked for is forgotten"
            self._note(events.Note("state.damaged", Severity.WARNING, text, {"file": str(self._book.path)}))
        if booted.reset:
            text = "the configuration was edited: it wins over what commands had asked for"
            self._note(events.Note("state.reset", Severity.WARNING, text, {}))
        if booted.degraded:
            asked, runs = booted.record.settings.device, journal.running(booted.record).device
            text = f"what is asked for, on {asked}, kept failing: ask again, and it is tried again"
            self._note(events.Note("engine.degraded", Severity.WARNING, text, {"device": runs}))

    def _save(self, record: journal.Record) -> None:
        """Write it down. An agent that cannot write runs on: it says so, once until it can again."""
        if self._book is None:
            return
        try:
            self._book.save(record)
        except OSError as error:
            if not self._unsaved:
                why = error.strerror or error
                text = f"{self._book.path} cannot be written: {why}; a restart would forget the last change"
                self._note(events.Note("state.not_saved", Severity.ERROR, text, {"file": str(self._book.path)}))
            self._unsaved = True
        else:
            self._unsaved = False


def _retire(lane: Lane) -> None:
    """Close an engine beside everything else: it waits for what is on the device."""
    threading.Thread(target=lane.engine.close, name="retire", daemon=True).start()


def terms_of(commands: Commands) -> Terms:
    """Read the keys that the configuration names. Raises ConfigError."""
    try:
        keys = read_keys(commands.key_file) if commands.key_file else ()
    except KeyFileError as error:
        raise ConfigError(f"commands.key_file: {error}", hint="make one: openssl rand -hex 32") from error
    return Terms(keys, commands.require_signature, commands.reply_topics)
