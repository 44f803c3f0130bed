"""The command line: a thin layer over :mod:`controller.session`.

Commands that change something on a device belong below the mark at the end; what they share is the request and the
wait for its reply in :mod:`controller.client`.
"""

import contextlib
import itertools
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from controller.errors import ControllerError
from controller.options import DeviceType, Given, connection

# Rich, paho and the wire's models are imported by the command that needs them: --help and completion stay quick.
if TYPE_CHECKING:
    from controller.session import Session

EPILOG: Final = """
\b
Exit codes:
  0  done                              3  no such device, or no answer in time
  1  failed                            4  rejected by the device
  2  wrong usage                       5  broker unreachable, or it refuses us

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
    """See what the edgepose agents on a broker are doing."""


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
    with _session(given) as session:
        found = session.all_agents()
    if given.json:
        _print_json([agent.row() for agent in found])
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
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after N messages.")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), metavar="S", help="End after S seconds.")
@connection()
@click.pass_obj
def watch(given: Given, device: str, count: int | None, seconds: float | None) -> None:
    """Follow DEVICE live, until Ctrl-C.

    With --json every message is printed on a line of its own: keypoints, metrics, state, events, availability. Their
    `schema` tells them apart.
    """
    with contextlib.suppress(KeyboardInterrupt), _session(given) as session:
        agent, messages = session.watch(device, seconds=seconds)
        messages = itertools.islice(messages, count)
        if given.json:
            from controller.session import as_json  # noqa: PLC0415

            for message in messages:
                _print_json(as_json(message), indent=None)
            return

        from rich.live import Live  # noqa: PLC0415

        from controller import report  # noqa: PLC0415

        # The table is made when the screen is refreshed, four times a second, not for each of 150 messages.
        with Live(console=report.console(), get_renderable=lambda: report.live(agent)):
            for _message in messages:
                pass


@contextlib.contextmanager
def _session(given: Given) -> "Iterator[Session]":
    from controller.session import Session  # noqa: PLC0415

    with Session(given, complain=lambda line: click.echo(f"Warning: {line}", err=True)) as session:
        yield session


def _show(given: Given, device: str, *leaves: str) -> None:
    with _session(given) as session:
        agent = session.one_agent(device, *leaves)
    messages = {leaf: getattr(agent, leaf) for leaf in leaves}
    if given.json:
        from controller.session import as_json  # noqa: PLC0415

        known = {leaf: message and as_json(message) for leaf, message in messages.items()}
        _print_json({"device_id": device, "availability": agent.availability, **known})
    else:
        from controller import report  # noqa: PLC0415

        report.console().print(report.facts(agent, *messages.values()))


def _print_json(value: Any, indent: int | None = 2) -> None:  # noqa: ANN401 - JSON
    click.echo(json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False))


# Commands that change something on a device go here: set-device, set-precision, set-model, ...
