"""What a person sees of jobs. Imported when printed."""

import contextlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from rich.table import Table
from rich.text import Text

from agent.wire.commands import Job, JobStatus
from agent.wire.messages import MessageError
from controller.client.fleet import printable
from controller.client.request import Outcome
from controller.report.files import study_in, tuning_in
from controller.terminal.outcome import show_error, table_of, tell_error
from controller.terminal.study import show_study
from controller.terminal.surroundings import tell
from controller.terminal.tables import add_facts, cell, console, print_fitting
from controller.terminal.tuning import show_tuning

JOBS_SPARED: Final = ("finished", "started", "command", "step")


def show_jobs(outcomes: Sequence[Outcome], *, single: bool) -> None:
    """Print one line for each job of the devices that answered."""
    table = table_of("device id", "id", "command", "status", "step", "progress", "started", "finished")
    for outcome in outcomes:
        if outcome.exit_code:
            show_error(outcome)
            continue
        for job in jobs_of(outcome):
            progress, started, finished = f"{job.progress:.0%}", _time(job.started_at), _time(job.finished_at)
            values = (job.device_id, job.id, job.command, job.status.value, job.step, progress, started, finished)
            table.add_row(*(cell(value) for value in values))
    if table.row_count:
        print_fitting(table, JOBS_SPARED)
    elif not all(outcome.exit_code for outcome in outcomes):
        tell("No jobs." if single else "No jobs on any of them.")


def jobs_of(outcome: Outcome) -> list[Job]:
    """Return what `jobs` was answered with; what cannot be read is left out."""
    listed = (outcome.reply.result or {}).get("jobs") if outcome.reply else None
    found = []
    for each in listed if isinstance(listed, list) else []:
        with contextlib.suppress(MessageError):
            found.append(Job.decode(json.dumps(each).encode()))
    return found


def show_job(job: Job) -> None:
    """Print everything about a job, and to standard error why it has failed."""
    out = console()
    out.print(Text(printable(f"{job.device_id}: {job.id} {job.status}"), style="bold"))
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(overflow="fold")  # a checksum is one word
    study, tuning = study_in(job), tuning_in(job)
    facts = {"step": job.step, "progress": f"{job.progress:.0%}", "started": _time(job.started_at)}
    add_facts(
        table, "", facts | {"finished": _time(job.finished_at)} | ({} if study or tuning else {"result": job.result})
    )
    out.print(table)
    if study is not None:
        out.print()
        show_study(study)
    if tuning is not None:
        out.print()
        show_tuning(tuning)
    if job.status in {JobStatus.FAILED, JobStatus.CANCELLED}:
        tell_error(f"{job.device_id}: {job.id} {job.status}", job.error)


def _time(moment: datetime | None) -> str | None:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}" if moment else None
