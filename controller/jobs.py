"""Commands around what takes minutes: starting a job, listing jobs, watching one, ending one."""

from typing import TYPE_CHECKING, Final

import click

from controller.completion import from_info
from controller.errors import NoAnswerError
from controller.execute import ask, carry_out, leave, order_of, print_tables, target_of
from controller.options import DeviceType, Given, connection
from controller.targets import FleetCommand, addressed
from controller.terminal import open_session, print_json, tell

# Rich, paho and the wire's models are imported by the command that needs them: --help and completion stay quick.
if TYPE_CHECKING:
    from agent.wire.commands import Job
    from controller.following import Followed
    from controller.request import Outcome

BEGIN_S: Final = 150.0
"""How long a box may take to begin a job, unless --timeout says otherwise: a switch may come first."""


@click.command(cls=FleetCommand)
@click.option(
    "--model",
    metavar="NAME",
    help="A network installed on the box. Default: the one that runs.",
    shell_complete=from_info(lambda info: (model.name for model in info.models)),
)
@click.option("--frames", type=click.IntRange(20, 2000), metavar="N", help="Frames to record. Default: 300.")
@click.option("--seconds", type=click.FloatRange(0, 3600, min_open=True), metavar="S", help="At most. Default: 120.")
@addressed(changes=True, answer_s=BEGIN_S)
@click.pass_obj
def quantize(given: Given, model: str | None, frames: int | None, seconds: float | None) -> None:
    """Make a network's INT8 variant from what the camera sees.

    The box records frames, quantises, compares with FP32 and deletes the frames. The job is followed to its end; with
    --no-wait, or after Ctrl-C, it goes on without us. `controller set-precision DEVICE INT8` then brings it into use.
    """
    from controller.following import Followed  # noqa: PLC0415

    args = {"model": model, "frames": frames, "seconds": seconds}
    args = {name: value for name, value in args.items() if value is not None}
    order = order_of(given, "quantize", args, answer_s=BEGIN_S)
    with open_session(given) as session:
        outcomes, complete = ask(session, given, order)
        followed = Followed(session, {each.device_id: job for each in outcomes if (job := _job_of(each))})
        if complete and followed.wanted:
            complete = _follow(followed)
    _print_started(given, outcomes, followed)
    leave([_code(each, followed) for each in outcomes], complete=complete)


def _job_of(outcome: "Outcome") -> str:
    result = (outcome.reply.result if outcome.reply else None) or {}
    job = result.get("job")
    return job if isinstance(job, str) and not outcome.exit_code else ""


def _code(outcome: "Outcome", followed: "Followed") -> int:
    return followed.exit_code(outcome.device_id) if outcome.device_id in followed.wanted else outcome.exit_code


def _print_started(given: Given, outcomes: "list[Outcome]", followed: "Followed") -> None:
    """Print what came of a command that starts jobs: of each device the reply, and the job as far as it was seen."""
    single = target_of(given).single
    if given.json:
        from controller.session import as_json  # noqa: PLC0415

        seen = {device: as_json(job) for device, job in followed.known.items()}
        found = [each.as_json() | {"job": seen.get(each.device_id)} for each in outcomes]
        print_json(found[0] if single else found)
        return
    print_tables([each for each in outcomes if each.device_id not in followed.known], given)
    for device in followed.known:
        _print_end(followed, device)


def _print_end(followed: "Followed", device: str) -> None:
    from controller import job_tables  # noqa: PLC0415

    if why := followed.missing(device):
        tell(f"Error: {why}")
    else:
        job_tables.show_job(followed.known[device])


def _follow(followed: "Followed", *, as_lines: bool = False) -> bool:
    """Show how far the jobs are until all have ended; False when Ctrl-C ended it, which then says that they go on."""
    from controller.progress import Bars  # noqa: PLC0415

    try:
        with Bars() as bars:
            for job in followed.news():
                if as_lines:
                    from controller.session import as_json  # noqa: PLC0415

                    print_json(as_json(job), indent=None)
                else:
                    bars.update(job)
    except KeyboardInterrupt:
        for device, job_id in followed.wanted.items():
            tell(f"{device} goes on with {job_id}.")
            tell(
                f"Hint: look with `controller job {device} {job_id} --follow`, "
                f"end it with `controller cancel {device} {job_id}`"
            )
        return False
    return True


@click.command(cls=FleetCommand)
@addressed(changes=False)
@click.pass_obj
def jobs(given: Given) -> None:
    """List the jobs that run, or ended within a day."""
    single = target_of(given).single

    def show(outcomes: "list[Outcome]") -> None:
        from controller import job_tables  # noqa: PLC0415

        job_tables.show_jobs(outcomes, single=single)

    carry_out(given, "jobs", {}, show=show)


@click.command()
@click.argument("device", type=DeviceType())
@click.argument("job_id", metavar="ID")
@click.option("--follow", is_flag=True, help="Go on until it has ended; Ctrl-C leaves it running.")
@connection()
@click.pass_obj
def job(given: Given, device: str, job_id: str, *, follow: bool) -> None:
    """Show how far the job ID of DEVICE is.

    With --follow and --json every change is printed on a line of its own. The exit code is then the job's: 0 when it
    succeeded, 1 when it failed or was cancelled.
    """
    from controller.following import Followed  # noqa: PLC0415

    with open_session(given) as session:
        session.find(device)
        followed = Followed(session, {device: job_id})
        complete = True
        if follow:
            complete = _follow(followed, as_lines=given.json)
        else:
            followed.first()
    if not complete:
        leave([], complete=False)
    if device not in followed.known:
        raise NoAnswerError(followed.missing(device), hint=f"`controller jobs {device}` lists them")
    if not follow:
        _print_job(given, followed.known[device])
        return
    if not given.json:
        _print_end(followed, device)
    elif why := followed.missing(device):
        tell(f"Error: {why}")
    leave([followed.exit_code(device)], complete=True)


def _print_job(given: Given, found: "Job") -> None:
    if given.json:
        from controller.session import as_json  # noqa: PLC0415

        print_json(as_json(found))
    else:
        from controller import job_tables  # noqa: PLC0415

        job_tables.show_job(found)


@click.command(cls=FleetCommand)
@click.argument("command_id", metavar="ID")
@addressed(changes=True)
@click.pass_obj
def cancel(given: Given, command_id: str) -> None:
    """End a job or a command, by its ID.

    A command can be ended while it waits or is being carried out.
    """
    carry_out(given, "cancel", {"id": command_id})


ALL: Final = (quantize, jobs, job, cancel)
