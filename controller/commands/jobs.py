"""Commands around what takes minutes: starting a job, listing jobs, watching one, ending one."""

from pathlib import Path

import click

from controller.client.following import Followed
from controller.client.request import Outcome
from controller.commands.access import open_session
from controller.commands.completion import from_info
from controller.commands.execute import carry_out, given_ones, leave, order_of, target_of
from controller.commands.execute_job import (
    BEGIN_S,
    check_out,
    follow_jobs,
    print_end,
    print_job,
    print_started,
    save_study,
    start,
    study_out,
)
from controller.commands.options import Given, connection
from controller.commands.targets import DeviceType, FleetCommand, addressed
from controller.errors import ControllerError, NoAnswerError
from controller.terminal import jobs as job_tables
from controller.terminal.surroundings import tell_error


@click.command(cls=FleetCommand)
@click.option(
    "--model",
    metavar="NAME",
    help="A network installed on the box. Default: the one that runs.",
    shell_complete=from_info(lambda info: (model.name for model in info.models)),
)
@click.option("--frames", type=click.IntRange(60, 2000), metavar="N", help="Frames to record. Default: 300.")
@click.option("--seconds", type=click.FloatRange(0, 3600, min_open=True), metavar="S", help="At most. Default: 120.")
@addressed(changes=True, answer_s=BEGIN_S)
@click.pass_obj
def quantize(given: Given, model: str | None, frames: int | None, seconds: float | None) -> None:
    """Make a network's INT8 variant from what the camera sees.

    The box records frames, quantises, compares with FP32 and deletes the frames. The job is followed to its end; with
    --no-wait, or after Ctrl-C, it goes on without us. `controller set-precision DEVICE INT8` then brings it into use.
    """
    args = {"model": model, "frames": frames, "seconds": seconds}
    order = order_of(given, "quantize", given_ones(args), answer_s=BEGIN_S)
    with open_session(given) as session:
        started = start(session, given, order)
    print_started(given, started)
    leave(started.exit_codes, complete=started.complete)


@click.command(cls=FleetCommand)
@click.argument("name", shell_complete=from_info(lambda info: (model.name for model in info.models)))
@addressed(changes=True, answer_s=BEGIN_S)
@click.pass_obj
def fetch(given: Given, name: str) -> None:
    """Bring the network NAME of the catalogue to a box.

    The box has it from where its own catalogue says, and takes it by its checksums. The job is followed to its end;
    with --no-wait, or after Ctrl-C, it goes on without us. `controller set-model DEVICE NAME` then brings it into use.
    """
    order = order_of(given, "fetch", {"name": name}, answer_s=BEGIN_S)
    with open_session(given) as session:
        started = start(session, given, order)
    print_started(given, started)
    leave(started.exit_codes, complete=started.complete)


@click.command(cls=FleetCommand)
@addressed(changes=False)
@click.pass_obj
def jobs(given: Given) -> None:
    """List the jobs that run, or ended within a day."""
    single = target_of(given).single

    def show(outcomes: list[Outcome]) -> None:
        job_tables.show_jobs(outcomes, single=single)

    carry_out(given, "jobs", {}, show=show)


@click.command()
@click.argument("device", type=DeviceType())
@click.argument("job_id", metavar="ID")
@click.option("--follow", is_flag=True, help="Go on until it has ended; Ctrl-C leaves it running.")
@study_out("Write the study of a benchmark or a sweep to FILE, for `controller report`.")
@connection()
@click.pass_obj
def job(given: Given, device: str, job_id: str, out: Path | None, *, follow: bool, force: bool) -> None:
    """Show how far the job ID of DEVICE is.

    With --follow and --json every change is printed on a line of its own. The exit code is then the job's: 0 when it
    succeeded, 1 when it failed or was cancelled.
    """
    check_out(out, force=force)
    with open_session(given) as session:
        session.find(device)
        followed = Followed(session, {device: job_id})
        complete = True
        if follow:
            complete = follow_jobs(followed, as_lines=given.json, out=out)
        else:
            followed.first()
    if not complete:
        leave([], complete=False)
    if device not in followed.known:
        raise NoAnswerError(followed.missing(device), hint=f"`controller jobs {device}` lists them")
    # Before anything is printed: whoever reads that may close the pipe early.
    saved = save_study(followed.known[device], out)
    if not follow:
        print_job(given, followed.known[device])
    elif not given.json:
        print_end(followed, device)
    elif why := followed.missing(device):
        tell_error(why, code=3, as_json=True)
    if out is not None and not saved and not (follow and followed.missing(device)):
        hint = "with --follow it is written when the job has ended"
        raise ControllerError(f"{job_id} has no study to write to {out}", hint=hint)
    leave([followed.exit_code(device) if follow else 0], complete=True)


@click.command(cls=FleetCommand)
@click.argument("command_id", metavar="ID")
@addressed(changes=True)
@click.pass_obj
def cancel(given: Given, command_id: str) -> None:
    """End a job or a command, by its ID.

    A command can be ended while it waits or is being carried out.
    """
    carry_out(given, "cancel", {"id": command_id})
