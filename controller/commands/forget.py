"""`controller forget`: a box that is gone leaves the broker too."""

import sys
from typing import Any, Final

import click

from agent.wire.topics import Topics
from controller.client.session import Session
from controller.commands.access import open_session
from controller.commands.execute import leave, print_answers, target_of
from controller.commands.options import Given, connection
from controller.commands.targets import TargetType
from controller.errors import BrokerUnreachableError, ControllerError, UsageError
from controller.terminal.surroundings import tell

HELP: Final = """Clear what the broker keeps of DEVICE, a box that is gone for good.

Its availability, birth message, state, metrics, zones and jobs, and what Home Assistant knows of it. Asked first; --yes
is the answer. Refused for a box that is online: it would say it all again.

The broker must allow you to write the topics of the device: docs/operations.md.

\b
Examples:
  controller forget gym-01
  controller forget 'trial-*' --yes
"""


@click.command(help=HELP)
@click.argument("target", metavar="DEVICE", type=TargetType())
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--homeassistant",
    metavar="TOPIC",
    default="homeassistant",
    help="First level of Home Assistant's topics. Default: homeassistant.",
)
@connection()
@click.pass_obj
def forget(given: Given, target: str, homeassistant: str, *, yes: bool) -> None:
    """Clear the retained topics."""
    given.values["target"] = target
    with open_session(given) as session:
        devices = target_of(given).find(session)
        online = [each for each in devices if session.fleet.agents[each].availability == "online"]
        if online:
            hint = "stop its agent first; `install.sh DEVICE --uninstall` on the box does"
            raise ControllerError(f"{', '.join(online)} is online and would say it all again", hint=hint)
        kept = {device: _kept(session, device, homeassistant) for device in devices}
        _be_sure(kept, yes=yes)
        for device, topics in kept.items():
            # Availability last: who is interrupted finds the device again, and can end what was begun.
            last = Topics(device, given.prefix).availability
            for topic in sorted(topics, key=lambda each: (each == last, each)):
                session.client.announce(topic, b"")
    _print(given, kept)


def _kept(session: Session, device: str, homeassistant: str) -> list[str]:
    """What the broker retains of a device."""
    found = dict.fromkeys([Topics(device, session.prefix).availability])
    own, entities = f"{session.prefix}/{device}/", f"{homeassistant}/"
    for wanted in (f"{own}#", f"{entities}+/{device}/+/config"):
        try:
            session.client.subscribe([wanted])
        except BrokerUnreachableError as error:
            session.complain(f"{wanted}: {error}")
            continue
        for each in session.client.retained(session.timeout_s):
            # Of others something may still be under way that was asked for before.
            ours = each.topic.startswith(own) or (
                each.topic.startswith(entities) and each.topic.removeprefix(entities).split("/")[1:2] == [device]
            )
            if each.retained and ours:
                found[each.topic] = None
    return list(found)


def _be_sure(kept: dict[str, list[str]], *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("nobody is here to be asked", hint="say --yes to forget without asking")
    for device, topics in kept.items():
        tell(f"{device}: {_topics(topics)} on the broker")
    click.confirm("Forget?", abort=True, err=True)


def _print(given: Given, kept: dict[str, list[str]]) -> None:
    if given.json:
        found: list[dict[str, Any]] = [{"device_id": device, "cleared": topics} for device, topics in kept.items()]
        print_answers([{"schema": "edgepose.forgotten/1", **each} for each in found], given)
    else:
        for device, topics in kept.items():
            click.echo(f"{device}: forgotten, {_topics(topics)} cleared")
    leave([0], complete=True)


def _topics(topics: list[str]) -> str:
    return f"{len(topics)} topic{'' if len(topics) == 1 else 's'}"
