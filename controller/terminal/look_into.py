"""What a person sees of `check` and `logs`."""

from collections.abc import Mapping
from typing import Final

from rich.table import Table
from rich.text import Text

from agent.wire.commands import CheckResult, LogsResult
from controller.client.fleet import printable
from controller.terminal.tables import cell, console, print_fitting

COLOURS: Final = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def show_checks(found: Mapping[str, CheckResult], *, single: bool) -> None:
    """A line for each finding; of several boxes those alone that are not well, with who has them."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("check", "", "finding", "cure") if single else ("device id", "check", "", "finding", "cure"):
        table.add_column(name)
    for device, result in found.items():
        for each in result.checks:
            if single or each.level != "ok":
                level = Text(each.level, style=COLOURS[each.level])
                row = (cell(each.name), level, cell(each.finding), cell(each.cure))
                table.add_row(*([] if single else [cell(device)]), *row)
    if table.row_count:
        print_fitting(table, ())
    if not single and found:
        ill = sum(any(each.level != "ok" for each in result.checks) for result in found.values())
        console().print(Text(f"{len(found) - ill} of {len(found)} boxes are well.", style="dim"))


def show_lines(told: LogsResult, device_id: str) -> None:
    """The lines of a log, each behind its box where there are several."""
    out = console()
    for line in told.lines:
        text = printable(f"{device_id}  {line}" if device_id else line)
        # A line in a file stays one.
        out.print(Text(text), overflow="fold", soft_wrap=not out.is_terminal)
