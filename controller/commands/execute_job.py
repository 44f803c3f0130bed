"""A command that starts a job: sent, answered, and followed to the job's end."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from agent.wire.commands import Job
from controller.client.following import Followed
from controller.client.request import Order, Outcome
from controller.client.session import Session, as_json
from controller.commands.execute import ask, print_answers, print_tables
from controller.commands.files import require_new, write
from controller.commands.options import Given
from controller.interrupt import UntilEnded
from controller.report.files import study_in
from controller.terminal import jobs as job_tables
from controller.terminal.progress import Bars
from controller.terminal.surroundings import print_json, tell

BEGIN_S: Final = 150.0
"""How long a box may take to begin a job, unless --timeout says otherwise: a switch may come first."""


@dataclass(frozen=True, slots=True)
class Started:
    """What came of it."""

    outcomes: "list[Outcome]"
    followed: "Followed"
    complete: bool
    """False after Ctrl-C."""

    @property
    def exit_codes(self) -> list[int]:
        """Of each device that of its job, or of its refusal."""
        followed = self.followed
        return [
            followed.exit_code(each.device_id) if each.device_id in followed.wanted else each.exit_code
            for each in self.outcomes
        ]

    def as_json(self, outcome: Outcome) -> dict[str, Any]:
        """Return the reply of a device, with its job as far as it was seen."""
        job = self.followed.known.get(outcome.device_id)
        return outcome.as_json() | {"job": as_json(job) if job else None}


def start(session: Session, given: Given, order: Order, *, out: Path | None = None) -> Started:
    """Send a command that starts a job on each device, and follow the jobs to their ends.

    ``out`` is told after Ctrl-C as what the study can still be written to.
    """
    outcomes, complete = ask(session, given, order)
    followed = Followed(session, {each.device_id: job for each in outcomes if (job := _job_of(each))})
    if complete and followed.wanted:
        complete = follow_jobs(followed, out=out)
    return Started(outcomes, followed, complete)


def follow_jobs(followed: Followed, *, as_lines: bool = False, out: Path | None = None) -> bool:
    """Show how far the jobs are until all have ended; False when Ctrl-C ended it, which then says that they go on."""
    with UntilEnded() as ended, Bars() as bars:
        for job in followed.news():
            if as_lines:
                print_json(as_json(job), indent=None)
            else:
                bars.update(job)
    if ended.asked:
        write_to = f" --out {out}" if out else ""
        for device, job_id in followed.wanted.items():
            tell(f"{device} goes on with {job_id}.")
            tell(
                f"Hint: look with `controller job {device} {job_id} --follow{write_to}`, "
                f"end it with `controller cancel {device} {job_id}`"
            )
    return not ended.asked


def print_end(followed: Followed, device: str) -> None:
    """Print how a job ended, or why it was not seen to its end."""
    if why := followed.missing(device):
        online = followed.session.fleet.agents[device].availability == "online"
        tell(why if online else f"Error: {why}")
    else:
        job_tables.show_job(followed.known[device])


def print_started(given: Given, started: Started) -> None:
    """Print what came of a command that starts jobs: of each device the reply, and the job as far as it was seen."""
    followed = started.followed
    if given.json:
        print_answers([started.as_json(each) for each in started.outcomes], given)
        return
    print_tables([each for each in started.outcomes if each.device_id not in followed.known], given)
    for device in followed.known:
        print_end(followed, device)


def print_job(given: Given, found: Job) -> None:
    """Print a job as it stands."""
    if given.json:
        print_json(as_json(found))
    else:
        job_tables.show_job(found)


def study_out(text: str) -> Callable[[Any], Any]:
    """Decorate a command with --out and --force."""

    def decorate(command: Any) -> Any:  # noqa: ANN401
        command = click.option("--force", is_flag=True, help="Replace FILE.")(command)
        file = click.Path(dir_okay=False, path_type=Path)
        return click.option("--out", metavar="FILE.json", type=file, help=text)(command)

    return decorate


def check_out(out: Path | None, *, force: bool) -> None:
    """Raise :class:`UsageError`, before anything is asked for, where the study could not be written afterwards."""
    if out is not None:
        require_new(out, (".json",), force=force)


def save_study(job: Job, out: Path | None) -> bool:
    """Write the study of a job as it stood on the wire; False where there is none. Raises :class:`ControllerError`."""
    if out is None:
        return False
    if study_in(job) is None:
        return False
    write(out, json.dumps(job.result, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n")
    tell(f"{out}: make a report of it with `controller report {out} --html {out.with_suffix('.html')}`")
    return True


def _job_of(outcome: Outcome) -> str:
    result = (outcome.reply.result if outcome.reply else None) or {}
    job = result.get("job")
    return job if isinstance(job, str) and not outcome.exit_code else ""
