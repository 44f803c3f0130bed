"""What a person sees of `check` and `logs`."""

from collections.abc import Mapping, Sequence
from typing import Final

from rich.table import Table
from rich.text import Text

from agent.wire.commands import CheckResult, Finding, LogsResult
from agent.wire.wording import many
from controller.client.fleet import printable
from controller.terminal.tables import cell, console, print_fitting

COLOURS: Final = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def show_checks(found: Mapping[str, CheckResult], *, single: bool) -> None:
    """A line for each finding; of several boxes those alone that are not well, below who has them."""
    out = console()
    ill = 0
    for device, result in found.items():
        shown = [each for each in result.checks if single or each.level != "ok"]
        ill += bool(shown)
        if shown and not single:
            out.print(Text(device, style="bold"))
        if shown:
            print_fitting(_table(shown), ())
    if not single and found:
        out.print(Text(f"{len(found) - ill} of {many(len(found), 'box is', 'boxes are')} well.", style="dim"))


def _table(checks: Sequence[Finding]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("check", "", "finding", "cure"):
        table.add_column(name)
    for each in checks:
        level = Text(each.level, style=COLOURS[each.level])
        table.add_row(cell(each.name), level, cell(each.finding), cell(each.cure))
    return table


def show_lines(told: LogsResult, device_id: str) -> None:
    """The lines of a log, each behind its box where there are several."""
    out = console()
    for line in told.lines:
        text = printable(f"{device_id}  {line}" if device_id else line)
        # A line in a file stays one.
        out.print(Text(text), overflow="fold", soft_wrap=not out.is_terminal)
