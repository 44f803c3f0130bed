"""Fleets at a glance: `list`, `top`, `inventory`."""

import csv
import math
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import click
from rich.live import Live

from agent.wire.topics import every_device
from agent.wire.wording import many
from controller.client.columns import INVENTORY, KNOWN, Condition, View
from controller.client.fleet import Agent
from controller.client.session import LISTED
from controller.commands.access import open_session
from controller.commands.options import Given, bounded, connection
from controller.commands.targets import GroupType
from controller.interrupt import UntilEnded
from controller.terminal import tables
from controller.terminal.surroundings import print_devices, tell

ROW: Final = tuple(Agent("any").row())
EVERY_S: Final = 1.0
BESIDE: Final = 2
"""Lines of a terminal that are no box's."""


def choosing(command: Any) -> Any:  # noqa: ANN401 - as click's own
    """Decorate a command with which boxes it shows, in which order, and what of them."""
    options: list[Callable[[Any], Any]] = [
        click.option("--group", metavar="GROUP", type=GroupType(), help="Those of a group alone."),
        click.option(
            "--where",
            multiple=True,
            metavar="CONDITION",
            help="Those alone that are so: status=degraded, model!=yolo*, fps<5. Several: all of them.",
        ),
        click.option("--sort", metavar="COLUMN", default="device_id", help="In this order; -COLUMN: greatest first."),
        click.option("--columns", metavar="A,B,...", help=f"What is told of each: {', '.join(KNOWN)}."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def view_of(
    default: tuple[str, ...], group: str | None, where: tuple[str, ...], sort: str, columns: str | None
) -> View:
    """What was chosen. Raises :class:`controller.errors.UsageError`."""
    shown = tuple(columns.split(",")) if columns else default
    return View(shown, tuple(Condition.of(each) for each in where), group, sort)


@click.command("list")
@choosing
@connection()
@click.pass_obj
def list_(given: Given, group: str | None, where: tuple[str, ...], sort: str, columns: str | None) -> None:
    """Show every agent on the broker."""
    _show(given, view_of(ROW, group, where, sort, columns))


@click.command()
@choosing
@click.option("--csv", "as_csv", is_flag=True, help="As CSV, for a spreadsheet.")
@connection()
@click.pass_obj
def inventory(
    given: Given, group: str | None, where: tuple[str, ...], sort: str, columns: str | None, *, as_csv: bool
) -> None:
    """Show what every box is: processor, memory, devices, networks, versions."""
    _show(given, view_of(INVENTORY, group, where, sort, columns), as_csv=as_csv)


def _show(given: Given, view: View, *, as_csv: bool = False) -> None:
    with open_session(given) as session:
        agents = session.all_agents()
    rows = view.rows(agents)
    if given.json:
        print_devices(rows)
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(view.columns)
        writer.writerows([[_plain(value) for value in row.values()] for row in rows])
    elif not agents:
        tell(f"No agent below {given.prefix!r} on this broker.")
    elif not rows:
        tell(f"None of {many(len(agents), 'agent')} is so.")
    else:
        table = tables.rows(rows)
        tables.print_fitting(table, tables.spared(table))


def _plain(value: object) -> str:
    """A cell that no spreadsheet takes for a formula: a box's own words may be anything."""
    text = "" if value is None else str(value)
    return f"'{text}" if text[:1] in {"=", "+", "@", "\t", "\r"} else text


@click.command()
@choosing
@bounded
@connection()
@click.pass_obj
def top(
    given: Given,
    group: str | None,
    where: tuple[str, ...],
    sort: str,
    columns: str | None,
    count: int | None,
    seconds: float | None,
) -> None:
    """Follow every agent live, until Ctrl-C.

    As many as the terminal has lines for, in the order of --sort; --count is how often it is shown anew. With --json
    they are printed each second, a line each time.
    """
    view = view_of(ROW, group, where, sort, columns)
    end_s = time.monotonic() + (math.inf if seconds is None else seconds)
    topics = [every_device(leaf, given.prefix) for leaf in LISTED]
    with UntilEnded(), open_session(given) as session:
        session.snapshot(topics)
        console = tables.console()
        with Live(console=console, auto_refresh=False, screen=console.is_terminal) as live:
            shown = 0
            while time.monotonic() < end_s and (count is None or shown < count):
                rows = view.rows(session.fleet.agents.values())
                if given.json:
                    print_devices(rows, indent=None)
                else:
                    most = max(1, console.height - BESIDE) if console.is_terminal else len(rows)
                    live.update(tables.fitting(tables.rows(rows[:most], len(rows))), refresh=True)
                shown += 1
                until_s = min(end_s, time.monotonic() + EVERY_S)
                for received in session.follow(topics, until_s, subscribed=True):
                    session.fleet.take(received)
