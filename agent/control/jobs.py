"""What is done about jobs: they take long, tell of themselves on topics of their own, and some outlive the process."""

from dataclasses import replace

from pydantic import JsonValue

from agent.control import journal
from agent.control.events import Abandon, Done, Failed, Flow, Publish, Started, Work
from agent.control.turn import Turn
from agent.wire.commands import CommandError, ErrorCode, Job, JobStatus, ReplyError, ReplyStatus
from agent.wire.messages import Severity


def begin_job(turn: Turn) -> None:
    """Start a job, which tells about itself on its own topic."""
    command, state = turn.command(), turn.state
    number = state.works + 1
    job = f"{command.name}-{turn.now:%Y%m%d-%H%M%S}-{number}"
    turn.begin(Work(number, command, state.record.settings, job))
    first = Job(
        device_id=turn.box.device_id,
        sent_at=turn.now,
        id=job,
        command=command.name,
        status=JobStatus.RUNNING,
        step="starting",
        progress=0.0,
        started_at=turn.now,
    )
    turn.state = replace(turn.state, record=journal.with_job(turn.state.record, first))
    turn.answer(command, ReplyStatus.ACCEPTED, {"job": job}, keep=True)
    turn.note("job.started", job, id=command.id, by=command.by)
    turn.effects.append(Publish(first))


def resume_job(turn: Turn) -> None:
    """The process ended amid a job that goes on where it was."""
    assert isinstance(turn.event, Started)
    job = journal.unfinished(turn.event.record)
    assert job is not None
    turn.begin(Work(turn.state.works + 1, None, turn.state.record.settings, job.id))


def cancel_job(turn: Turn) -> None:
    """A job ends by itself when it is told; that is news of its own. Whoever was answered need not fear a restart."""
    work = turn.state.work
    assert work is not None
    assert work.job is not None
    turn.effects.append(Abandon(work.number))
    turn.state = replace(turn.state, record=journal.cancelling(turn.state.record, work.job))
    turn.answer(turn.command(), ReplyStatus.SUCCEEDED, {"cancelled": work.job}, keep=True)


def end_job(turn: Turn) -> None:
    """The job has ended, one way or another."""
    if isinstance(turn.event, Failed):
        status = JobStatus.CANCELLED if turn.event.status is ReplyStatus.CANCELLED else JobStatus.FAILED
        _end(turn, status, error=turn.event.error)
    elif turn.state.record.cancelling is not None:  # its last step ended before it noticed
        _end(turn, JobStatus.CANCELLED, error=CommandError(ErrorCode.CANCELLED, "cancelled as it ended"))
    else:
        assert isinstance(turn.event, Done)
        _end(turn, JobStatus.SUCCEEDED, result=turn.event.result)


def end_job_and_apply(turn: Turn) -> None:
    """The job has found what is best, and was told to switch to it."""
    assert isinstance(turn.event, Done)
    assert turn.event.apply is not None
    end_job(turn)
    settings = turn.state.record.settings
    wanted = turn.event.apply.model_copy(update={"paused": settings.paused, "zones": settings.zones})
    turn.note("switch.started", f"{wanted.model} {wanted.precision} on {wanted.device}, the best that was measured")
    turn.begin(Work(turn.state.works + 1, None, wanted))


def leave(turn: Turn, error: CommandError) -> None:
    """The agent ends amid a job: one that can go on where it was does so at the next start, any other is cancelled.

    What goes on is not told to give up: it would clear away what it goes on with.
    """
    work, job = turn.state.work, journal.unfinished(turn.state.record)
    if work is not None and job is not None and not journal.resumable(turn.state.record, job):
        turn.effects.append(Abandon(work.number))
        _end(turn, JobStatus.CANCELLED, error=error)


def _end(
    turn: Turn, status: JobStatus, *, result: dict[str, JsonValue] | None = None, error: CommandError | None = None
) -> None:
    work, record = turn.ended()
    before = next(job for job in record.jobs if job.id == work.job)
    job = before.model_copy(
        update={
            "sent_at": turn.now,
            "finished_at": turn.now,
            "status": status,
            "step": status.value,
            "progress": 1.0 if status is JobStatus.SUCCEEDED else before.progress,
            "error": ReplyError(code=error.code, message=error.message, hint=error.hint) if error else None,
            "result": result,
        }
    )
    turn.save(journal.with_job(record, job))
    _note_end(turn, job)
    turn.effects.append(Publish(job))
    if job.command in journal.HOLDING:  # it held the frames back
        turn.effects.append(Flow(record.settings.paused))


def _note_end(turn: Turn, job: Job) -> None:
    if (error := job.error) is None:
        turn.note("job.done", job.id)
    elif job.status is JobStatus.CANCELLED:
        turn.note("job.cancelled", f"{job.id}: {error.message}")
    else:
        turn.note("job.failed", f"{job.id}: {error.message}", Severity.WARNING, error=error.code.value, hint=error.hint)
