"""The command line: a thin layer over :mod:`controller.session`.

Here stand the commands that look; those that ask a device for something are in :mod:`controller.commands`,
:mod:`controller.jobs` and :mod:`controller.study`.
"""

import itertools
import sys
from pathlib import Path
from typing import Final

import click

from controller import commands, jobs, study
from controller.errors import ControllerError
from controller.events import events
from controller.options import FILE, DeviceType, Given, bounded, connection
from controller.snapshot import snapshot
from controller.terminal import UntilEnded, open_session, print_json, tell

# Rich, paho and the wire's models are imported by the command that needs them: --help and completion stay quick.

EPILOG: Final = """
\b
Exit codes:
  0  done, or a job started            4  rejected by the device
  1  failed, cancelled or timed out    5  broker unreachable, or it refuses us
  2  wrong usage                     130  Ctrl-C while waiting; the device goes on
  3  no such device, offline, or no answer in time
Of several devices the worst counts, in the order 1, 4, 3, 0.

\b
Environment:
  EDGEPOSE_BROKER            HOST, HOST:PORT, mqtt://... or mqtts://...
  EDGEPOSE_BROKER_PASSWORD   the password, where no file holds it

\b
Completion (bash; zsh and fish alike):
  eval "$(_CONTROLLER_COMPLETE=bash_source controller)"

Every option may also stand after the command. A device's id is what `controller list` shows.
"""


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@connection(environment=True)
@click.version_option(package_name="edgepose", message="%(version)s")
def cli() -> None:
    """See what the edgepose agents on a broker are doing, and change it while they run."""


def main() -> None:
    """Run `controller`."""
    try:
        cli()
    except ControllerError as error:
        click.echo(f"Error: {error}", err=True)
        if error.hint:
            click.echo(f"Hint: {error.hint}", err=True)
        sys.exit(error.exit_code)


@cli.command("list")
@connection()
@click.pass_obj
def list_(given: Given) -> None:
    """Show every agent on the broker."""
    with open_session(given) as session:
        found = session.all_agents()
    if given.json:
        print_json([agent.row() for agent in found])
    elif not found:
        click.echo(f"No agent below {given.prefix!r} on this broker.", err=True)
    else:
        from controller import report  # noqa: PLC0415

        report.console().print(report.agents(found))


@cli.command()
@click.argument("device", type=DeviceType())
@connection()
@click.pass_obj
def status(given: Given, device: str) -> None:
    """Show what DEVICE runs and how fast."""
    _show(given, device, "state", "metrics")


@cli.command()
@click.argument("device", type=DeviceType())
@connection()
@click.pass_obj
def describe(given: Given, device: str) -> None:
    """Show what DEVICE is and what it can do."""
    _show(given, device, "info")


@cli.command()
@click.argument("device", type=DeviceType())
@bounded
@connection()
@click.pass_obj
def watch(given: Given, device: str, count: int | None, seconds: float | None) -> None:
    """Follow DEVICE live, until Ctrl-C.

    With --json every message is printed on a line of its own: keypoints, metrics, state, events, availability. Their
    `schema` tells them apart.
    """
    with UntilEnded(), open_session(given) as session:
        agent, messages = session.watch(device, seconds=seconds)
        messages = itertools.islice(messages, count)
        if given.json:
            from controller.session import as_json  # noqa: PLC0415

            for message in messages:
                print_json(as_json(message), indent=None)
            return

        from rich.live import Live  # noqa: PLC0415

        from controller import report  # noqa: PLC0415

        # The table is made when the screen is refreshed, four times a second, not for each of 150 messages.
        with Live(console=report.console(), get_renderable=lambda: report.live(agent)):
            for _message in messages:
                pass


@cli.command()
@click.argument("device", type=DeviceType())
@click.option(
    "--out", required=True, metavar="FILE", type=click.Path(path_type=Path), help="Ends in .jsonl or .json (COCO)."
)
@bounded
@click.option("--force", is_flag=True, help="Replace FILE.")
@connection()
@click.pass_obj
def record(given: Given, device: str, out: Path, count: int | None, seconds: float | None, *, force: bool) -> None:
    """Write the keypoints of DEVICE to a file, until Ctrl-C.

    FILE.jsonl takes the messages as they stand on the wire, one per line; FILE.json the results format of COCO, with
    the frame's `seq` as image_id.
    """
    from controller import record as recorder  # noqa: PLC0415

    recording = recorder.new_recording(out, replace=force)
    with UntilEnded(), open_session(given) as session:
        tally = recorder.record(session, device, recording, seconds=seconds, count=count, tell=tell)
        if given.json:
            print_json(tally.figures())


@cli.command()
@click.argument("file", type=FILE)
@click.option(
    "--speed",
    type=click.FloatRange(min=0),
    default=1.0,
    metavar="FACTOR",
    help="2 is twice as fast, 0 as fast as possible. Default: 1, as recorded.",
)
@click.option("--loop", is_flag=True, help="Start again at the end.")
@click.option("--as", "device", type=DeviceType(), metavar="DEVICE", help="The device it appears as. Default: its own.")
@click.option("--force", is_flag=True, help="Also beside a live device of that name.")
@connection()
@click.pass_obj
def replay(given: Given, file: Path, speed: float, device: str | None, *, loop: bool, force: bool) -> None:
    """Publish the recording FILE.jsonl as its device would, until its end or Ctrl-C."""
    from controller import replay as player  # noqa: PLC0415

    with UntilEnded():
        player.replay(given, file, device=device, speed=speed, loop=loop, force=force, tell=tell)


def _show(given: Given, device: str, *leaves: str) -> None:
    with open_session(given) as session:
        agent = session.one_agent(device, *leaves)
    messages = {leaf: getattr(agent, leaf) for leaf in leaves}
    if given.json:
        from controller.session import as_json  # noqa: PLC0415

        known = {leaf: message and as_json(message) for leaf, message in messages.items()}
        print_json({"device_id": device, "availability": agent.availability, **known})
    else:
        from controller import report  # noqa: PLC0415

        report.console().print(report.facts(agent, *messages.values()))


for _command in (*commands.ALL, *jobs.ALL, *study.ALL, events, snapshot):
    cli.add_command(_command)
