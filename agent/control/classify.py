"""What an event comes to, given the state it meets."""

from datetime import datetime

from agent.benchmark.rows import recipes
from agent.control import journal, overrides
from agent.control.asking import Box, asked, benchmarked, placed, require_in_catalogue, require_model, tuned
from agent.control.events import (
    Asked,
    Broken,
    Built,
    Done,
    Event,
    Failed,
    Informed,
    Overdue,
    Reshaped,
    Settled,
    SizeFound,
    Started,
    Stopped,
    StrayEnded,
    Tidied,
)
from agent.control.settings import Settings
from agent.control.state import WAITING_MAX, Kind, Phase, State
from agent.wire.commands import (
    AnyArgs,
    Benchmark,
    Cancel,
    Command,
    CommandError,
    ErrorCode,
    Fetch,
    GetSettings,
    PlanAffinity,
    Quantize,
    SetSettings,
    Sweep,
    Tune,
    UnsetSettings,
)

BUSY_PHASES = frozenset({Phase.STARTING, Phase.SWITCHING, Phase.MEASURING, Phase.PLANNING})
"""Where a command waits for the one before it."""


_NEWS: dict[type[Event], Kind] = {
    Informed: Kind.INFORMED,
    Broken: Kind.BROKEN,
    StrayEnded: Kind.STRAY_ENDED,
    Settled: Kind.SETTLED,
    Tidied: Kind.TIDIED,
    Stopped: Kind.STOP,
}
_NEWS_OF_WORK = {Built: Kind.BUILT, Done: Kind.DONE, Failed: Kind.FAILED, Overdue: Kind.OVERDUE}


def classify(state: State, event: Event, box: Box, now: datetime) -> tuple[Kind, CommandError | None]:
    """The kind of an event; with the reason where a command is refused."""
    match event:
        case Asked(command=command):
            try:
                return _of_command(state, command, box, now), None
            except CommandError as error:
                return Kind.REFUSE, error
        case Built() | Done() | Failed() | Overdue():
            if state.work is None or event.number != state.work.number:
                return Kind.LATE_NEWS, None
            if isinstance(event, Done) and event.apply is not None and state.record.cancelling is None:
                return Kind.DONE_APPLY, None
            return _NEWS_OF_WORK[type(event)], None
        case SizeFound() | Reshaped():
            return _of_picture(state, event), None
        case Started(record=record):
            return Kind.STARTED_AMID if journal.unfinished(record) else Kind.STARTED, None
        case _:
            return _NEWS[type(event)], None


def idle(state: State) -> bool:
    """Whether frames flow and nothing is to be done."""
    return state.phase is Phase.READY and not (state.waiting or state.strays or state.record.settings.paused)


def untouched(state: State) -> bool:
    """Whether nothing is to be done, and what the engine is asked for is what the configuration says."""
    record = state.record
    asked = record.settings.said or record.settings.requested() != record.base.requested()
    return idle(state) and not (asked or record.fallback)


def _of_picture(state: State, event: SizeFound | Reshaped) -> Kind:
    if isinstance(event, Reshaped):
        return Kind.RESHAPED if idle(state) else Kind.LATE_NEWS
    if not untouched(state) or event.settings.requested() != state.record.settings.requested():
        return Kind.LATE_NEWS
    return Kind.SIZE_FOUND if event.switch else Kind.SIZE_STAYS


def _of_command(state: State, command: Command, box: Box, now: datetime) -> Kind:
    if state.answered(command.id) is not None:
        return Kind.REPEAT
    if command.id in in_hand(state):
        return Kind.IN_HAND
    _require_new(state, command)
    if command.expires_at is not None and command.expires_at <= now:
        raise CommandError(ErrorCode.EXPIRED, f"{command.name} expired before its turn came", "send it again")
    if command.if_version is not None and command.if_version != state.record.version:
        raise CommandError(
            ErrorCode.VERSION_CONFLICT,
            f"the state is at version {state.record.version}, not {command.if_version}",
            "somebody changed it meanwhile: look at the state, then ask again",
        )
    if isinstance(command.args, Cancel):
        return _of_cancel(state, command.args.id)
    if command.name in {"check", "describe", "jobs", "logs", "snapshot"}:
        _require_snapshots(command, box)
        return Kind.ASK
    if isinstance(command.args, GetSettings):
        overrides.require_known(command.args.keys or ())
        return Kind.ASK
    _require_turn(state)
    return _of_change(state, command, box, now)


def _require_new(state: State, command: Command) -> None:
    """Refuse a signed command that has been heard before."""
    if command.proof is None:
        return
    highest = state.record.sequences.get(command.proof.key, 0)
    if command.proof.sequence <= highest:
        raise CommandError(
            ErrorCode.UNTRUSTED,
            f"sequence {command.proof.sequence} is not above {highest}, the highest under this key",
            "somebody sent it again, or the clock of whoever signed it went back; a key of his own has its own count",
        )


def in_hand(state: State) -> set[str]:
    """Ids of the commands that are being done or wait."""
    doing = state.work.command if state.work else None
    return {command.id for command in (doing, *state.waiting) if command is not None}


def _of_cancel(state: State, wanted: str) -> Kind:
    if any(command.id == wanted for command in state.waiting):
        return Kind.CANCEL_WAITING
    work = state.work
    if work is not None and wanted in {work.job, work.command and work.command.id}:
        if state.phase is Phase.MEASURING:
            raise CommandError(ErrorCode.NOT_FOUND, f"{wanted} is done already: the new engine is in use")
        return Kind.CANCEL_WORK
    raise CommandError(
        ErrorCode.NOT_FOUND, f"no job or command {wanted!r} is waiting or being done", "`jobs` lists the jobs"
    )


def _require_snapshots(command: Command, box: Box) -> None:
    if command.name == "snapshot" and not box.snapshots:
        raise CommandError(
            ErrorCode.INVALID_PAYLOAD,
            "the configuration lets no image leave this box",
            "output.snapshots = true in its configuration allows it",
        )


def _require_turn(state: State) -> None:
    if state.phase is Phase.STOPPING:
        raise CommandError(ErrorCode.BUSY, "the agent is stopping")
    if state.phase is Phase.WORKING:
        job = state.work.job if state.work else None
        raise CommandError(ErrorCode.BUSY, f"the job {job} runs", "wait until it has ended, or cancel it")
    if len(state.waiting) >= WAITING_MAX:
        raise CommandError(ErrorCode.BUSY, f"{WAITING_MAX} commands are waiting already", "try again in a moment")


def _of_change(state: State, command: Command, box: Box, now: datetime) -> Kind:
    if isinstance(command.args, SetSettings | UnsetSettings):
        overrides.asked(state.record, command.args, box.file)
    elif command.name == "restart" and not box.supervised:
        raise CommandError(
            ErrorCode.UNSUPERVISED,
            "nobody would start the agent again",
            "run it as a service (systemd/README.md), or start it anew by hand",
        )
    if command.name in {"pause", "resume", "set-paused", "set-zones", "set", "unset", "restart"}:
        return Kind.TOGGLE
    # What it is checked against may be another thing when its turn comes.
    waits = state.phase in BUSY_PHASES
    if state.strays and not waits:
        oldest = min(state.strays.values(), key=lambda stray: stray.given_up_at)
        ago_s = max(0.0, (now - oldest.given_up_at).total_seconds())
        raise CommandError(
            ErrorCode.BUSY,
            f"the compilation of {oldest.what} was given up {ago_s:.0f} s ago and still runs: nothing can interrupt it",
            "ask again once it has ended, poses go on meanwhile; if it never ends, restart the agent",
        )
    if not waits:
        _require_possible(state.record.settings, command.args, box)
    match command.args:
        case Quantize() | Benchmark() | Sweep() | Tune() | Fetch():
            return Kind.JOB
        case PlanAffinity():
            return Kind.PLAN
    return Kind.CHANGE


def _require_possible(settings: Settings, args: AnyArgs, box: Box) -> None:
    """Refuse what this box cannot do. Raises CommandError."""
    match args:
        case Quantize(model=model):
            require_model(model or settings.model, box)
        case Fetch(name=name):
            require_in_catalogue(name)
        case Sweep():
            recipes(args, settings.model)
        case Tune():
            tuned(args, box)
        case Benchmark():
            benchmarked(settings, args, box)
        case PlanAffinity():
            placed(settings, args, box)
        case _:
            asked(settings, args, box)
