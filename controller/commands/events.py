"""`controller events`: what happens on the boxes, as it happens."""

import itertools
from typing import Final

import click
from rich.text import Text

from agent.wire.messages import Event
from controller.commands.access import open_session
from controller.commands.execute import target_of
from controller.commands.options import Given, bounded
from controller.commands.targets import FleetCommand, addressed
from controller.interrupt import UntilEnded
from controller.terminal import tables as report
from controller.terminal.surroundings import print_json

SEVERITIES: Final = ("info", "warning", "error")

HELP: Final = """Follow what happens on a device, until Ctrl-C.

One line an event: time here, device, severity, code, message. Codes and what to do about them: docs/events.md. A glob
is matched anew with every event, so that devices that come later are heard too. With --json each event is printed on
a line of its own, as it stands on the wire.

\b
Examples:
  controller events gym-01
  controller events '*' --severity warning
  controller events --group halls --json | jq -r .code
"""


@click.command(cls=FleetCommand, help=HELP)
@click.option("--severity", type=click.Choice(SEVERITIES), default="info", help="Only those, and worse. Default: info.")
@bounded
@addressed(changes=False)
@click.pass_obj
def events(given: Given, severity: str, count: int | None, seconds: float | None) -> None:
    """Print each event."""
    told = SEVERITIES[SEVERITIES.index(severity) :]
    with UntilEnded(), open_session(given) as session:
        target = target_of(given)
        wanted = target.matching(target.find(session))
        happenings = session.events(seconds=seconds, device=target.device if target.single else None)
        chosen = (event for event in happenings if event.severity in told and wanted(event.device_id))
        show = _show_json if given.json else _show_line
        for event in itertools.islice(chosen, count):
            show(event)


def _show_json(event: Event) -> None:
    print_json(event.model_dump(mode="json", by_alias=True), indent=None)


def _show_line(event: Event) -> None:
    line = Text(f"{event.sent_at.astimezone():%Y-%m-%d %H:%M:%S}")
    for value, width in ((event.device_id, 12), (event.severity.value, 7), (event.code, 16), (event.message, 0)):
        cell = report.cell(value)
        cell.pad_right(max(0, width - cell.cell_len))
        line.append("  ").append_text(cell)
    out = report.console()
    out.print(line, soft_wrap=not out.is_terminal)
