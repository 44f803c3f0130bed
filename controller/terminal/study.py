"""What a person sees of a study in a terminal. Imported when printed."""

from collections.abc import Collection
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.wire.study import Study
from controller.report.beside import Beside
from controller.report.facts import facts, reasons, title
from controller.report.rows import COLUMNS, entries
from controller.report.words import conclusion
from controller.terminal.tables import cell, console, print_fitting

NARROW: Final = (
    "GFLOP/s (of peak)",
    "raw FPS (reached)",
    "runs on",
    "moved",
    "submodels",
    "p95 ms",
    "missed",
    "in work",
)
"""Columns that a narrow terminal does without, the first of them first."""


def show_study(study: Study) -> None:
    """Print the table, why rows have no figures, and what was found."""
    out = console()
    out.print(Text(title(study), style="bold"))
    about = Table(box=None, show_header=False, pad_edge=False)
    for fact in facts(study):
        about.add_row(Text(fact.name, style="dim"), cell(fact.value))
    table, without = fitting(study, out)
    for part in (about, table):
        out.print()
        out.print(part)
    if without:
        out.print(Text(f"Not shown, for want of width: {', '.join(without)}.", style="dim"))
    if unmeasured := reasons(study):
        out.print()
        for entry, reason in unmeasured:
            out.print(Text(f"{entry.name}: {entry.row.status}: {reason}", style="dim"))
    for finding in conclusion(study):
        out.print()
        out.print(Text(finding.topic, style="bold"))
        for line in finding.lines:
            out.print(Text(line))


def show_side_by_side(found: Beside) -> None:
    """Print a line for each configuration and a column for each box, and below it what the boxes are."""
    headings, rows = found.table
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        table.add_column(heading)
    for row in rows:
        table.add_row(*(Text(text, style="bold" if text.endswith(", best") else "") for text in row))
    print_fitting(table, headings[:1:-1])
    out = console()
    out.print()
    for line in found.about:
        out.print(Text(line, style="dim"))


def fitting(study: Study, out: Console) -> tuple[Table, list[str]]:
    """Return the table, and the columns left out so that it fits; into a file every line goes whole."""
    without: list[str] = []
    table = rows(study)
    for name in NARROW:
        needed = table.__rich_measure__(out, out.options.update(max_width=1000)).maximum
        if not out.is_terminal:
            out.width = max(out.width, needed)
        if needed <= out.width:
            break
        without.append(name)
        table = rows(study, without)
    return table, without


def rows(study: Study, without: Collection[str] = ()) -> Table:
    """One line for each configuration; columns in which no row has anything are left out too."""
    found = entries(study)
    columns = [column for column in COLUMNS if column.heading not in without]
    texts = {column.heading: [column.text(entry) for entry in found] for column in columns}
    table = Table(box=None, header_style="bold", pad_edge=False)
    told = [column for column in columns if any(text != "-" for text in texts[column.heading])]
    for column in told:
        table.add_column(column.heading, justify="right" if column.figure else "left", overflow="fold")
    for number, entry in enumerate(found):
        best = number in {study.best_throughput, study.best_latency} and entry.choosable
        pale = not entry.choosable and entry.kind != "original"
        style = "bold" if best else "dim" if pale else ""
        table.add_row(*(Text(texts[column.heading][number]) for column in told), style=style)
    return table
