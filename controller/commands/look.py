"""Commands that look: `list`, `status`, `describe`, `watch`."""

import itertools

import click
from rich.live import Live

from controller.client.session import as_json
from controller.commands.access import open_session
from controller.commands.options import Given, bounded, connection
from controller.commands.targets import DeviceType
from controller.terminal import tables
from controller.terminal.surroundings import UntilEnded, print_json


@click.command("list")
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
        tables.print_fitting(tables.agents(found), tables.AGENTS_SPARED)


@click.command()
@click.argument("device", type=DeviceType())
@connection()
@click.pass_obj
def status(given: Given, device: str) -> None:
    """Show what DEVICE runs and how fast."""
    _show(given, device, "state", "metrics")


@click.command()
@click.argument("device", type=DeviceType())
@connection()
@click.pass_obj
def describe(given: Given, device: str) -> None:
    """Show what DEVICE is and what it can do."""
    _show(given, device, "info")


@click.command()
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
            for message in messages:
                print_json(as_json(message), indent=None)
            return

        # The table is made when the screen is refreshed, four times a second, not for each of 150 messages.
        with Live(console=tables.console(), get_renderable=lambda: tables.live(agent)):
            for _message in messages:
                pass


def _show(given: Given, device: str, *leaves: str) -> None:
    with open_session(given) as session:
        agent = session.one_agent(device, *leaves)
    messages = {leaf: getattr(agent, leaf) for leaf in leaves}
    if given.json:
        known = {leaf: message and as_json(message) for leaf, message in messages.items()}
        print_json({"device_id": device, "availability": agent.availability, **known})
    else:
        tables.console().print(tables.facts(agent, *messages.values()))
