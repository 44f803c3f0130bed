"""Promises of jobs: what they keep from others, what of them outlives the process, and how a winner is applied."""

from dataclasses import replace
from typing import Any

import pytest

from agent.control import events, journal
from agent.control.events import Effect
from agent.control.journal import Record
from agent.control.machine import step
from agent.control.state import Phase, State
from agent.wire.commands import CommandError, ErrorCode, Job, JobStatus, ReplyStatus, SetZones
from agent.wire.zones import Zone
from tests.control.conversation import BASE, BOX, NOW, command, first_state, replay

JOB = "sweep-20260131-063000-1"
WINNER = BASE.model_copy(update={"device": "SIMCPU", "precision": "FP16", "hint": "throughput"})
CANCELLED = CommandError(ErrorCode.CANCELLED, "cancelled during a run")


def running(name: str = "sweep") -> Job:
    """A job during which a process ended."""
    return Job(
        device_id="hall",
        sent_at=NOW,
        id=f"{name}-20260131-063000-1",
        command=name,
        status=JobStatus.RUNNING,
        step="starting",
        progress=0.0,
        started_at=NOW,
    )


def check(conversation: str, state: State | None = None) -> State:
    """Replay a conversation that must go as it is written; returns the last state."""
    told, after = replay(conversation, state)
    assert told == conversation.removeprefix("\n")
    return after


def hears(state: State, event: events.Event) -> tuple[State, list[Effect]]:
    after, effects = step(state, event, BOX, NOW)
    return after, list(effects)


def of(kind: type[Effect], effects: list[Effect]) -> list[Any]:
    return [effect for effect in effects if isinstance(effect, kind)]


def sweeping(*, paused: bool = False) -> State:
    """An agent amid a sweep that goes on after a restart."""
    state = first_state(jobs=(running(),), settings=BASE.model_copy(update={"paused": paused}))
    return hears(state, events.Started(state.record))[0]


@pytest.mark.parametrize("name", ["sweep", "benchmark"])
@pytest.mark.parametrize("alive", [True, False])
def test_a_study_goes_on_after_a_restart(name: str, alive: bool) -> None:
    """Whether the process died or was stopped, the next goes on with the same job, and nobody has to ask."""
    before = Record(version=3, base=BASE, settings=BASE, jobs=(running(name),), alive=alive)
    booted = journal.boot(before, BASE, NOW)
    assert (booted.jobs, booted.record.jobs) == ((), before.jobs)
    state, effects = hears(State(booted.record, BASE), events.Started(booted.record))
    assert state.phase is Phase.WORKING
    (begun,) = of(events.Begin, effects)
    assert (begun.work.job, begun.work.command, begun.work.number) == (running(name).id, None, 1)
    state, effects = hears(state, events.Done(1, {"rows": []}))
    (told,) = of(events.Publish, effects)
    assert (told.job.id, told.job.status, told.job.result) == (running(name).id, JobStatus.SUCCEEDED, {"rows": []})
    assert state.phase is Phase.READY


def test_another_job_does_not_go_on() -> None:
    """What was recorded for a quantisation is gone after a restart: it failed, and that is told."""
    before = Record(version=3, base=BASE, settings=BASE, jobs=(running("quantize"),))
    (failed,) = journal.boot(before, BASE, NOW).jobs
    assert failed.status is JobStatus.FAILED


def test_an_edited_configuration_does_not_end_a_study() -> None:
    """What a study measures was written down when it began."""
    before = Record(version=3, base=BASE, settings=BASE, jobs=(running(),))
    booted = journal.boot(before, WINNER, NOW)
    assert booted.reset
    assert journal.unfinished(booted.record) == running()


def test_what_came_while_it_started_waits_for_the_end_of_the_job() -> None:
    """A command that came before the agent knew that a job goes on has its turn after it; later ones are busy."""
    check(
        """
> set-device a SIMCPU
    note command.accepted
> started
    begin 1 sweep-20260131-063000
    working
> set-device b SIMCPU
    reply b rejected busy v0
> describe c
    inform c
> done
    save v0 CPU
    note job.done
    publish succeeded 1
    flow on
    save v0 CPU attempt=a
    begin 2 SIMCPU
    note switch.started
    switching
""",
        first_state(jobs=(running(),)),
    )


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("ending", ["succeeded", "failed", "cancelled", "applied"])
def test_at_its_end_frames_flow_as_before(paused: bool, ending: str) -> None:
    """However a study ends, what was paused stays so and the rest flows again, before anything else is begun."""
    error = CommandError(ErrorCode.INTERNAL, "the clip is gone")
    over: dict[str, events.Event] = {
        "succeeded": events.Done(1, {}),
        "failed": events.Failed(1, ReplyStatus.FAILED, error),
        "cancelled": events.Failed(1, ReplyStatus.CANCELLED, CANCELLED),
        "applied": events.Done(1, {}, WINNER),
    }
    state, effects = hears(sweeping(paused=paused), over[ending])
    assert of(events.Flow, effects) == [events.Flow(paused)]
    (told,) = of(events.Publish, effects)
    assert told.job.status == ("succeeded" if ending == "applied" else ending)
    kinds = [type(effect) for effect in effects]
    assert kinds.index(events.Save) < kinds.index(events.Publish) < kinds.index(events.Flow)
    if ending == "applied":
        assert kinds.index(events.Flow) < kinds.index(events.Begin)
    assert state.record.jobs == (told.job,)


def test_a_quantisation_holds_no_frames_back() -> None:
    """It needs them: at its end there is nothing to let flow."""
    state, _told = replay("> started\n> quantize a\n")[1], None
    _state, effects = hears(state, events.Done(1, {}))
    assert of(events.Flow, effects) == []


def test_a_stop_leaves_a_study_for_the_next_start() -> None:
    """It is neither told to give up nor said to have ended, and the record says that nobody died."""
    state, effects = hears(sweeping(), events.Stopped())
    assert [type(effect) for effect in effects] == [events.Save]
    assert journal.unfinished(state.record) == running()
    assert not state.record.alive
    late, effects = hears(state, events.Done(1, {}))
    assert (late.record, effects) == (state.record, [])


def test_a_start_that_is_stopped_leaves_the_study_alone() -> None:
    """An agent that is stopped while it starts begins nothing any more, and forgets nothing."""
    state = hears(first_state(jobs=(running(),)), events.Stopped())[0]
    state, effects = hears(state, events.Started(state.record))
    assert effects == []
    assert journal.unfinished(state.record) == running()


def test_cancelled_by_whoever_knows_its_id() -> None:
    """Who cancels is answered at once; the job tells of its end when it has ended."""
    state, effects = hears(sweeping(), events.Asked(command("cancel", "b", JOB)))
    assert [type(effect) for effect in effects] == [events.Abandon, events.Save, events.Send]
    assert state.phase is Phase.WORKING
    state, effects = hears(state, events.Failed(1, ReplyStatus.CANCELLED, CANCELLED))
    (told,) = of(events.Publish, effects)
    assert (told.job.id, told.job.status, told.job.error.code) == (JOB, JobStatus.CANCELLED, ErrorCode.CANCELLED)
    assert state.phase is Phase.READY


@pytest.mark.parametrize("end", ["killed", "stopped"])
def test_what_was_cancelled_does_not_go_on(end: str) -> None:
    """Who was told that a study is cancelled finds it so after a restart, though the agent ended before it had."""
    state, effects = hears(sweeping(), events.Asked(command("cancel", "b", JOB)))
    (saved,) = of(events.Save, effects)
    assert saved.record == state.record
    if end == "stopped":
        state, effects = hears(state, events.Stopped())
        assert of(events.Publish, effects)[0].job.status is JobStatus.CANCELLED
    booted = journal.boot(state.record, BASE, NOW)
    (job,) = booted.record.jobs
    assert (job.status, job.error and job.error.code) == (JobStatus.CANCELLED, ErrorCode.CANCELLED)
    assert booted.record.cancelling is None
    assert journal.unfinished(booted.record) is None
    assert journal.reply_to(booted.record, "b") is not None


def test_a_cancel_wins_over_an_end_that_was_on_its_way() -> None:
    """Who was told that a sweep is cancelled sees no switch to its winner, though it ended at that moment."""
    state, _effects = hears(sweeping(), events.Asked(command("cancel", "b", JOB)))
    state, effects = hears(state, events.Done(1, {}, WINNER))
    (told,) = of(events.Publish, effects)
    assert (told.job.status, told.job.result) == (JobStatus.CANCELLED, None)
    assert of(events.Begin, effects) == []
    assert (state.phase, state.record.settings, state.record.cancelling) == (Phase.READY, BASE, None)


def applying() -> State:
    """The sweep is over, and its winner is being built."""
    state, effects = hears(sweeping(), events.Done(1, {}, WINNER))
    assert state.phase is Phase.SWITCHING
    (begun,) = of(events.Begin, effects)
    assert (begun.work.settings, begun.work.command, begun.work.job) == (WINNER, None, None)
    assert [note.code for note in of(events.Note, effects)] == ["job.done", "switch.started"]
    return state


def test_the_winner_is_applied() -> None:
    """It is switched to as if it had been asked for: in use first, then saved under the next version, and told."""
    state, effects = hears(applying(), events.Built(2))
    assert [type(effect) for effect in effects] == [events.Swap]
    state, effects = hears(state, events.Done(2, {}))
    assert [type(effect) for effect in effects] == [events.Save, events.Note]
    assert (state.record.version, state.record.settings, state.running) == (1, WINNER, WINNER)
    assert of(events.Note, effects)[0].code == "switch.done"
    assert state.phase is Phase.READY


@pytest.mark.parametrize("fault", ["not built", "overdue", "broken in use"])
def test_a_winner_that_fails_changes_nothing(fault: str) -> None:
    """What runs goes on, the version stays, everybody is told why, and the next command is done."""
    state = applying()
    error = CommandError(ErrorCode.TRIAL_FAILED, "it fails on the camera's own frames")
    if fault == "broken in use":
        state, _effects = hears(state, events.Built(2))
        state, effects = hears(state, events.Broken("the device is gone"))
        assert len(of(events.SwapBack, effects)) == 1
    else:
        failed = events.Failed(2, ReplyStatus.FAILED, error) if fault == "not built" else events.Overdue(2, error)
        state, effects = hears(state, failed)
    (note,) = of(events.Note, effects)
    assert (note.code, of(events.End, effects)) == ("switch.failed", [])
    assert (state.record.version, state.record.settings, state.phase) == (0, BASE, Phase.READY)
    state = replace(state, strays={})
    assert hears(state, events.Asked(command("set-precision", "c", "FP16")))[0].phase is Phase.SWITCHING


def test_a_stop_while_the_winner_is_built_asks_for_nothing() -> None:
    """A winner that was not in use yet is not what is asked for after a restart."""
    state, effects = hears(applying(), events.Stopped())
    assert [type(effect) for effect in effects] == [events.Abandon, events.Save]
    assert (state.record.version, state.record.settings) == (0, BASE)
    assert journal.unfinished(state.record) is None


def test_a_paused_agent_stays_paused_under_its_winner() -> None:
    """A sweep does not set going what was paused."""
    state = hears(sweeping(paused=True), events.Done(1, {}, WINNER))[0]
    for event in (events.Built(2), events.Done(2, {})):
        state, effects = hears(state, event)
        assert events.Flow(paused=False) not in effects
    assert state.record.settings == WINNER.model_copy(update={"paused": True})


def test_the_same_zones_change_nothing() -> None:
    """Who sends the zones that are there is answered; the version, who changed it last, and the log stay."""
    first = first_state()
    state, _effects = hears(first, events.Started(first.record))
    corners = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]
    versions, told = [state.record.version], []
    for number, zones in enumerate(({"door": {"polygon": corners}}, {"door": {"polygon": corners}}, {}, {})):
        asked = replace(command("set-zones", f"z{number}"), args=SetZones.model_validate({"zones": zones}))
        state, effects = hears(state, events.Asked(asked))
        versions.append(state.record.version)
        told += [each.code for each in effects if isinstance(each, events.Note)]
        assert [each for each in effects if isinstance(each, events.Send)], "each is answered"
    assert versions == [0, 1, 1, 2, 2]
    assert told == ["zones.changed", "zones.changed"]


def test_zones_outlast_the_winner() -> None:
    """Where people are counted is nothing a sweep decides."""
    state = sweeping()
    zones = {"door": Zone(polygon=((0.0, 0.0), (1.0, 0.0), (1.0, 1.0)))}
    state = replace(state, record=journal.with_zones(state.record, zones))
    for event in (events.Done(1, {}, WINNER), events.Built(2), events.Done(2, {})):
        state, _effects = hears(state, event)
    assert (state.record.settings.model, state.record.settings.zones) == (WINNER.model, zones)
