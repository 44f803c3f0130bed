"""Commands that look: `status`, `describe`, `watch`."""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import click
from rich.live import Live
from rich.table import Table

from agent.wire.topics import every_device
from controller.client.fleet import Agent
from controller.client.session import Session, as_json
from controller.commands.access import open_session
from controller.commands.execute import print_answers, target_of
from controller.commands.options import Given, bounded
from controller.commands.targets import FleetCommand, addressed
from controller.interrupt import UntilEnded
from controller.terminal import tables
from controller.terminal.status import page
from controller.terminal.surroundings import print_json


@click.command(cls=FleetCommand)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Every field of its messages, one a line.",
)
@addressed(changes=False)
@click.pass_obj
def status(given: Given, *, everything: bool) -> None:
    """Show what DEVICE runs and how fast.

    One screen: what runs, how fast, who is in view, the camera, and what is wrong, with units. Scripts take --json.
    """
    _show(given, "state", "metrics", everything=everything)


@click.command(cls=FleetCommand)
@addressed(changes=False)
@click.pass_obj
def describe(given: Given) -> None:
    """Show what DEVICE is and what it can do."""
    _show(given, "info")


@click.command(cls=FleetCommand)
@bounded
@addressed(changes=False)
@click.pass_obj
def watch(given: Given, count: int | None, seconds: float | None) -> None:
    """Follow DEVICE live, until Ctrl-C.

    Of several boxes each has a line. With --json every message is printed on a line of its own: keypoints, metrics,
    state, events, availability. Their `schema` tells them apart.
    """
    target = target_of(given)
    with UntilEnded(), open_session(given) as session:
        if target.single:
            agent, messages = session.watch(str(target.device), seconds=seconds)
            shown = partial(tables.live, agent)
        else:
            wanted = target.matching(target.find(session))
            messages = session.watch_several(wanted, seconds=seconds)
            shown = partial(_live_fleet, session, wanted)
        messages = itertools.islice(messages, count)
        if given.json:
            for message in messages:
                print_json(as_json(message), indent=None)
            return

        # The table is made when the screen is refreshed, four times a second, not for each of 150 messages.
        with Live(console=tables.console(), get_renderable=shown):
            for _message in messages:
                pass


def _live_fleet(session: Session, wanted: Callable[[str], bool]) -> Table:
    agents = dict(session.fleet.agents)  # another thread adds to it
    return tables.fitting(tables.agents(agents[device] for device in sorted(agents) if wanted(device)))


def _show(given: Given, *leaves: str, everything: bool = True) -> None:
    target = target_of(given)
    with open_session(given) as session:
        if target.single:
            agents = [session.one_agent(str(target.device), *leaves)]
        else:
            devices = target.find(session)
            known = session.snapshot([every_device(leaf, given.prefix) for leaf in leaves]).agents
            agents = [known[device] for device in devices]
    if given.json:
        print_answers([_as_json(agent, leaves) for agent in agents], given)
        return
    for number, agent in enumerate(agents):
        if number:
            click.echo()
        told = tables.facts(agent, *(getattr(agent, leaf) for leaf in leaves)) if everything else page(agent)
        tables.console().print(told)


def _as_json(agent: Agent, leaves: tuple[str, ...]) -> dict[str, Any]:
    said = {leaf: getattr(agent, leaf) for leaf in leaves}
    messages = {leaf: message and as_json(message) for leaf, message in said.items()}
    known = {"device_id": agent.device_id, "availability": agent.availability}
    return {"schema": "edgepose.status/1", **known, **messages}
