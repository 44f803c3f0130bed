"""What is done when something happens: each action takes the turn and leaves the next state and its effects."""

from dataclasses import replace

from agent.control import jobs, journal, overrides
from agent.control.asking import asked, placed
from agent.control.events import (
    Abandon,
    Broken,
    Clear,
    Configure,
    Done,
    End,
    Failed,
    Flow,
    Inform,
    Informed,
    Look,
    Overdue,
    Remember,
    Reshaped,
    Restart,
    Send,
    SizeFound,
    Started,
    StrayEnded,
    Swap,
    SwapBack,
    Work,
)
from agent.control.fits import Fit
from agent.control.journal import Record
from agent.control.settings import Settings
from agent.control.state import Stray
from agent.control.turn import Turn
from agent.wire.commands import (
    Cancel,
    Command,
    CommandError,
    ErrorCode,
    PlanAffinity,
    ReplyStatus,
    SetPaused,
    SetSettings,
    SetZones,
    UnsetSettings,
)
from agent.wire.messages import Changed, Severity


def answer_again(turn: Turn) -> None:
    """The id has been answered: the same reply again, and nothing else."""
    command = turn.command()
    payload = turn.state.answered(command.id)
    assert payload is not None
    turn.effects.append(Send(command.reply_to, payload))


def ignore(_turn: Turn) -> None:
    """Nothing is to be done."""


def refuse(turn: Turn) -> None:
    """It cannot be done, or not now."""
    assert turn.refusal is not None
    turn.answer(turn.command(), ReplyStatus.REJECTED, error=turn.refusal)


def inform(turn: Turn) -> None:
    """Somebody wants to know something."""
    turn.effects.append(Inform(turn.command()))


def tell(turn: Turn) -> None:
    """What somebody wanted to know is known."""
    assert isinstance(turn.event, Informed)
    turn.answer(turn.command(), ReplyStatus.SUCCEEDED, turn.event.result)


def wait(turn: Turn) -> None:
    """Its turn comes after what is being done."""
    command, before = turn.command(), len(turn.state.waiting) + (turn.state.work is not None)
    turn.state = replace(turn.state, waiting=(*turn.state.waiting, command))
    told = f"after {before} other{'s' * (before > 1)}" if before else "as soon as the agent has started"
    turn.note("command.accepted", f"{command.name} is carried out {told}", id=command.id, by=command.by)


def toggle(turn: Turn) -> None:
    """Pause, resume, look at other zones, take other settings, or start anew: the engine stays until then."""
    command, record = turn.command(), turn.state.record
    if isinstance(command.args, SetSettings | UnsetSettings):
        configure(turn, command, command.args)
        return
    if command.name == "restart":
        turn.answer(command, ReplyStatus.SUCCEEDED, {"restart": "now"}, keep=True)
        turn.note("agent.restarting", f"starts anew, as {command.by} asked", by=command.by)
        turn.effects.append(Restart(f"restart by {command.by}"))
        return
    if isinstance(command.args, SetZones):
        zones = record.base.zones if command.args.zones is None else command.args.zones
        changes = zones != record.settings.zones
        if changes:
            turn.state = replace(turn.state, record=_changed(turn, journal.with_zones(record, zones), command))
        turn.effects.append(Look(zones))
        turn.answer(command, ReplyStatus.SUCCEEDED, {"zones": list(zones)}, keep=True)
        if changes:
            turn.note("zones.changed", f"people are counted in {', '.join(zones) or 'no zone'}", by=command.by)
        return
    paused = command.args.paused if isinstance(command.args, SetPaused) else command.name == "pause"
    changes = paused != record.settings.paused
    if changes:
        turn.state = replace(turn.state, record=_changed(turn, journal.with_pause(record, paused=paused), command))
    turn.effects.append(Flow(paused))
    turn.answer(command, ReplyStatus.SUCCEEDED, {"paused": paused}, keep=True)
    if changes and paused:
        turn.note("agent.paused", f"paused by {command.by}", by=command.by)
    elif changes:
        turn.note("agent.resumed", f"resumed by {command.by}", by=command.by)


def configure(turn: Turn, command: Command, args: SetSettings | UnsetSettings) -> None:
    """Take other values for settings: those that can hold at once do, for the others it starts anew."""
    before, box = turn.state.record, turn.box
    after = overrides.asked(before, args, box.file)
    live, keys = overrides.differing(before, after, box.file)
    named = tuple(args.settings if isinstance(args, SetSettings) else args.keys or before.overrides)
    due = bool(after.pending)
    now = due and args.restart and box.supervised
    result = overrides.told(after, box, named, restart="now" if now else "due" if due else "none", dry_run=args.dry_run)
    if args.dry_run:
        turn.answer(command, ReplyStatus.SUCCEEDED, result)
        return
    turn.state = replace(turn.state, record=_changed(turn, after, command))
    if live:
        turn.effects.append(Configure(live))
    turn.answer(command, ReplyStatus.SUCCEEDED, result, keep=True)
    turn.note("settings.changed", f"{command.name}: {', '.join(keys) or 'nothing'}", by=command.by)
    if now:
        turn.note("agent.restarting", f"starts anew, for {', '.join(after.pending)}", by=command.by)
        turn.effects.append(Restart(f"{command.name} by {command.by}"))


def _changed(turn: Turn, record: Record, command: Command) -> Record:
    """The record with who changed it."""
    changed = Changed(command=command.name, by=command.by, at=turn.now)
    return record.model_copy(update={"changed": changed})


def begin(turn: Turn) -> None:
    """Build another engine, or plan one, beside the one in use."""
    command, settings = turn.command(), turn.state.record.settings
    plan = isinstance(command.args, PlanAffinity)
    wanted = placed(settings, command.args, turn.box) if plan else asked(settings, command.args, turn.box)  # type: ignore[arg-type]
    turn.begin(Work(turn.state.works + 1, command, wanted))
    if plan:
        turn.note("command.accepted", f"{command.name} for {wanted.device}", id=command.id, by=command.by)
    else:
        turn.note(
            "switch.started",
            f"{command.name}: {wanted.model} {wanted.precision} on {wanted.device}",
            id=command.id,
            by=command.by,
        )


def begin_fit(turn: Turn) -> None:
    """Build an engine that fits the camera; what is asked for stays as it is."""
    assert isinstance(turn.event, SizeFound)
    event = turn.event
    wanted = event.fit.applied(turn.state.record.settings)
    turn.begin(Work(turn.state.works + 1, None, wanted, fit=event.fit))
    turn.note("switch.started", f"{_described(event.fit, wanted)} instead of {event.runs} pixels, to fit")


def begin_reshaping(turn: Turn) -> None:
    """Build what runs anew, as the start would have done before this picture."""
    assert isinstance(turn.event, Reshaped)
    event, settings = turn.event, turn.state.running
    picture, wanted, runs = (f"{width}x{height}" for width, height in (event.picture, event.wanted, event.runs))
    turn.begin(Work(turn.state.works + 1, None, settings, reshaping=True))
    text = f"{settings.model} at {wanted} instead of {runs} pixels: the camera's picture is {picture}"
    turn.note("switch.started", text)


def keep_size(turn: Turn) -> None:
    """What is in use fits, or nothing does."""
    assert isinstance(turn.event, SizeFound)
    turn.effects.append(Remember(turn.event.fit))
    _tell_fit(turn, turn.event.fit, turn.event.runs)


def _described(fit: Fit, settings: Settings) -> str:
    side = f" at {fit.long_side} pixels" if fit.long_side is not None else ""
    return f"{settings.model}{side}, {settings.precision}, {settings.hint} hint"


def _tell_fit(turn: Turn, fit: Fit, runs: int | None) -> None:
    model, measured = fit.place.model, fit.measured
    if measured is None:
        turn.note(
            "input.fitted",
            f"nothing that {model} may run as holds {fit.camera_fps:.3g} frames a second with results"
            f" within {fit.place.age_ms_max:g} ms: what the configuration says stays",
            Severity.WARNING,
            model=model,
            long_side=runs,
            camera_fps=round(fit.camera_fps, 3),
            age_ms_max=fit.place.age_ms_max,
        )
        return
    turn.note(
        "input.fitted",
        f"{_described(fit, fit.applied(turn.state.record.settings))}: the largest, then the cheapest of those that were"
        f" measured to hold {measured.camera_fps:.3g} frames a second with results within {measured.age_ms_max:g} ms",
        model=model,
        long_side=runs if fit.long_side is None else fit.long_side,
        **measured.model_dump(exclude={"device", "chosen"}),
    )


def swap(turn: Turn) -> None:
    """The new engine is good: it gets the frames."""
    assert turn.state.work is not None
    turn.effects.append(Swap(turn.state.work))


def commit(turn: Turn) -> None:
    """The new engine has shown what it does: it is what is asked for from now on."""
    work, record = turn.ended()
    assert isinstance(turn.event, Done)
    settings = work.settings
    turn.state = replace(turn.state, running=settings)
    text = f"{settings.model} {settings.precision} runs on {settings.device}"
    if work.falling_back:
        turn.note("engine.degraded", f"{text}, to which the agent went back", Severity.WARNING)
        return
    if work.fit is not None:
        turn.state = replace(turn.state, running=journal.running(record))
        turn.effects.append(Remember(work.fit))
        turn.note("switch.done", f"{text}: {_described(work.fit, settings)}")
        _tell_fit(turn, work.fit, settings.long_side)
        return
    if work.reshaping:
        turn.note("switch.done", f"{text}, in the shape of the camera's picture")
        return
    accepted = journal.accepted(record, settings)  # a pause waits its turn
    if work.command is None:
        turn.save(accepted)
        turn.note("switch.done", f"{text}, as the best that was measured")
        return
    turn.state = replace(turn.state, record=_changed(turn, accepted, work.command))
    turn.answer(work.command, ReplyStatus.SUCCEEDED, turn.event.result, keep=True)
    turn.note("switch.done", text, id=work.command.id, by=work.command.by)


def give_up(turn: Turn) -> None:
    """It did not work: the old engine never stopped."""
    work, _record = turn.ended()
    assert isinstance(turn.event, Failed | Overdue)
    error = turn.event.error
    if work.falling_back:
        turn.effects.append(End(f"{error.message}: nothing is left to go back to"))
        return
    if work.command is None:
        turn.note("switch.failed", error.message, Severity.WARNING, error=error.code.value, hint=error.hint)
        return
    status = turn.event.status if isinstance(turn.event, Failed) else ReplyStatus.TIMED_OUT
    turn.answer(work.command, status, error=error, keep=True)
    if work.command.name != "plan-affinity":
        turn.note(
            "switch.failed",
            error.message,
            Severity.WARNING,
            id=work.command.id,
            by=work.command.by,
            error=error.code.value,
            hint=error.hint,
        )


def swap_back(turn: Turn) -> None:
    """The new engine fails where it counts: the old one, which is still there, gets the frames back."""
    work = turn.state.work
    assert work is not None
    turn.effects.append(SwapBack(work))
    if isinstance(turn.event, Broken):
        error = CommandError(ErrorCode.TRIAL_FAILED, f"in use it fails: {turn.event.reason}", "see the agent's log")
        turn.event = Failed(work.number, ReplyStatus.FAILED, error)
    give_up(turn)


def give_up_overdue(turn: Turn) -> None:
    """It takes too long, and goes on in its thread."""
    _stray(turn)
    give_up(turn)


def report(turn: Turn) -> None:
    """The plan is made."""
    work, _record = turn.ended()
    assert isinstance(turn.event, Done)
    assert work.command is not None
    turn.answer(work.command, ReplyStatus.SUCCEEDED, turn.event.result, keep=True)


def cancel_work(turn: Turn) -> None:
    """Somebody takes back what is being done."""
    _stray(turn)
    work, _record = turn.ended()
    assert work.command is not None
    turn.answer(work.command, ReplyStatus.CANCELLED, error=_cancelled(turn.command().id), keep=True)
    turn.answer(turn.command(), ReplyStatus.SUCCEEDED, {"cancelled": work.command.id})


def cancel_waiting(turn: Turn) -> None:
    """Somebody takes back what waits."""
    args = turn.command().args
    assert isinstance(args, Cancel)
    gone = next(command for command in turn.state.waiting if command.id == args.id)
    turn.state = replace(turn.state, waiting=tuple(c for c in turn.state.waiting if c is not gone))
    turn.answer(gone, ReplyStatus.CANCELLED, error=_cancelled(turn.command().id))
    turn.answer(turn.command(), ReplyStatus.SUCCEEDED, {"cancelled": gone.id})


def start(turn: Turn) -> None:
    """The first engine runs, be it the one asked for or the one that could be had."""
    assert isinstance(turn.event, Started)
    record = turn.event.record
    turn.state = replace(turn.state, running=journal.running(record))
    if turn.event.fallen is not None:
        turn.note("engine.degraded", turn.event.fallen, Severity.WARNING, device=turn.state.running.device)
        turn.save(record)


def start_amid(turn: Turn) -> None:
    """The first engine runs, and the process before this one ended amid a job."""
    start(turn)
    jobs.resume_job(turn)


def fall_back(turn: Turn) -> None:
    """The engine in use keeps failing: go back to the last settings that were good."""
    assert isinstance(turn.event, Broken)
    record = journal.fall_back(turn.state.record)
    if record is None:
        turn.effects.append(End(turn.event.reason))
        return
    turn.note("engine.failed", turn.event.reason, Severity.ERROR, device=turn.state.running.device)
    if turn.state.work is not None:
        turn.effects.append(Abandon(turn.state.work.number))
    turn.save(record)
    turn.begin(Work(turn.state.works + 1, None, journal.running(record), falling_back=True))


def forget_stray(turn: Turn) -> None:
    """What was given up has ended at last."""
    assert isinstance(turn.event, StrayEnded)
    left = {number: stray for number, stray in turn.state.strays.items() if number != turn.event.number}
    turn.state = replace(turn.state, strays=left)


def settle(turn: Turn) -> None:
    """What runs is good: the agent would come back to it."""
    turn.save(journal.settled(turn.state.record))


def tidy(turn: Turn) -> None:
    """Replies and jobs of the day before are forgotten."""
    record, jobs = journal.sweep(turn.state.record, turn.now)
    turn.effects += [Clear(job) for job in jobs]
    if record != turn.state.record:
        turn.save(record)


def stop(turn: Turn) -> None:
    """Whoever waits for an answer gets one; what was not done is not remembered as asked."""
    error = CommandError(ErrorCode.CANCELLED, "the agent was stopped before it was done", "ask again when it is back")
    work = turn.state.work
    if work is not None and work.job is not None:
        jobs.leave(turn, error)
    elif work is not None:
        turn.effects.append(Abandon(work.number))
        if work.command is not None:
            turn.answer(work.command, ReplyStatus.CANCELLED, error=error, keep=True)
    for command in turn.state.waiting:
        turn.answer(command, ReplyStatus.CANCELLED, error=error)
    turn.state = replace(turn.state, work=None, waiting=())
    turn.save(journal.ended(turn.state.record))


def _stray(turn: Turn) -> None:
    work = turn.state.work
    assert work is not None
    name = work.command.name if work.command else "the way back"
    stray = Stray(f"{name} ({work.settings.device})", turn.now)
    turn.effects.append(Abandon(work.number))
    turn.state = replace(turn.state, strays={**turn.state.strays, work.number: stray})


def _cancelled(by: str) -> CommandError:
    return CommandError(ErrorCode.CANCELLED, f"cancelled by the command {by}")
