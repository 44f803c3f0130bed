"""What a person sees: tables for a terminal. Imported only when one is printed."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import BaseModel
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.segment import Segment
from rich.style import Style
from rich.table import Column, Table
from rich.text import Text

from agent.sheet import sheet
from controller.client.fleet import Agent, printable

WIDE: Final = 200
"""Columns when the output is no terminal: whoever cuts it up wants whole lines."""
GAP: Final = 2
"""Blanks between two columns."""
COLOURS: Final = {
    "online": "green",
    "offline": "red",
    "running": "green",
    "failed": "red",
    "camera_lost": "yellow",
    "warning": "yellow",
    "error": "red",
}
WATCHED_METRICS: Final = (
    "fps_mean",
    "latency_ms_p50",
    "latency_ms_p95",
    "age_ms_p95",
    "frames_dropped",
    "cpu_percent",
    "rss_mb",
)


def console() -> Console:
    """Make the console for standard output."""
    return Console(width=None if sys.stdout.isatty() else WIDE, highlight=False, emoji=False)


def cell(value: object) -> Text:
    """Show a value: a dash for what is unknown, one decimal, nothing that could steer the terminal."""
    text = "-" if value is None else f"{value:.1f}" if isinstance(value, float) else printable(str(value))
    return Text(text, style=COLOURS.get(text, ""))


def print_fitting(table: Table, spared: Sequence[str]) -> None:
    """Print a table that fits the terminal, without the columns it takes; into a file every line goes whole.

    ``spared`` names the columns a narrow terminal does without, the first of them first; what is left out is said.
    """
    out, whole = console(), table
    missing: list[str] = []
    if out.is_terminal:
        table, missing = _narrowed(table, out, spared)
    else:
        out.width = max(out.width, _width(table))
    if _width(table) <= out.width:
        out.print(_Lines(table))
    elif _breaks(table, out):
        out.print(table)
    else:
        missing = []
        out.print(
            sheet([str(column.header) for column in whole.columns], zip(*map(_texts, whole.columns), strict=True))
        )
    if missing:
        out.print(Text(f"Not shown, for want of width: {', '.join(missing)}; --json has everything.", style="dim"))


def fitting(table: Table) -> Table:
    """Agents without the columns a narrow terminal does without; what is watched has a line to say how many."""
    narrower, missing = _narrowed(table, console(), spared(table))
    if missing:
        left_out = f"{len(missing)} column{'s' if len(missing) > 1 else ''} not shown"
        narrower.caption = f"{narrower.caption}; {left_out}" if narrower.caption else left_out
    return narrower


def _narrowed(table: Table, out: Console, spared: Sequence[str]) -> tuple[Table, list[str]]:
    """A table that fits, as far as leaving columns out makes it; and the headings of those."""
    missing: list[str] = []
    while _width(table) > out.width and len(missing) < len(spared):
        missing.append(spared[len(missing)])
        table = _without(table, missing[-1])
    return table, missing


class _Lines:
    """A table with room for every cell on one line. Rich lays out cell by cell: of a thousand boxes, for seconds."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def __rich_console__(self, out: Console, _options: ConsoleOptions) -> Iterator[Segment]:
        table = self._table
        widths = _widths(table)
        heading = out.get_style(table.header_style)
        yield from _line([(str(column.header), heading) for column in table.columns], table, widths)
        for row, cells in zip(table.rows, zip(*map(_texts, table.columns), strict=True), strict=True):
            whole = out.get_style(row.style or "")
            yield from _line([(text.plain, whole + out.get_style(text.style)) for text in cells], table, widths)


def _line(cells: Sequence[tuple[str, Style]], table: Table, widths: Sequence[int]) -> Iterator[Segment]:
    for number, ((text, style), column, width) in enumerate(zip(cells, table.columns, widths, strict=True)):
        room = " " * (width - cell_len(text))
        gap = " " * GAP if number else ""
        yield Segment(gap + room if column.justify == "right" else gap)
        yield Segment(text, style)
        if column.justify != "right":
            yield Segment(room)
    yield Segment.line()


def _texts(column: Column) -> list[Text]:
    return [each if isinstance(each, Text) else Text(str(each)) for each in column.cells]


def _widths(table: Table) -> list[int]:
    return [
        max([cell_len(str(column.header)), *(cell_len(text.plain) for text in _texts(column))])
        for column in table.columns
    ]


def _width(table: Table) -> int:
    return sum(_widths(table)) + GAP * (len(table.columns) - 1)


def _breaks(table: Table, out: Console) -> bool:
    """Have what is too wide broken between words; False where words would be broken, or ids.

    Rich makes the widest narrower, whatever stands in them. Here each has room for its longest word, and what is left
    goes to those first that want least of it.
    """
    longest = [
        max(
            cell_len(word)
            for text in (str(column.header), *(text.plain for text in _texts(column)))
            for word in _words(text)
        )
        for column in table.columns
    ]
    left = out.width - sum(longest) - GAP * (len(table.columns) - 1)
    if left < 0:
        return False
    wanted = [whole - least for whole, least in zip(_widths(table), longest, strict=True)]
    for number in sorted(range(len(wanted)), key=wanted.__getitem__):
        column, more = table.columns[number], min(wanted[number], left)
        column.width, column.overflow, column.no_wrap = longest[number] + more, "fold", False
        left -= more
    return True


def _words(text: str) -> list[str]:
    return text.split() or [""]


def _without(table: Table, heading: str) -> Table:
    kept = [column for column in table.columns if column.header != heading]
    narrower = Table(box=None, header_style="bold", pad_edge=False, caption=table.caption)
    for column in kept:
        narrower.add_column(column.header, justify=column.justify)
    for row in zip(*(column.cells for column in kept), strict=True):
        narrower.add_row(*row)
    return narrower


AGENTS_SPARED: Final = (
    "agent version",
    "persons",
    "last seen",
    "latency ms p50",
    "precision",
    "model",
    "device",
    "status",
)


def spared(table: Table) -> tuple[str, ...]:
    """The columns of agents that a narrow terminal does without: those that tell least, then from the right."""
    headings = [str(column.header) for column in table.columns]
    least = [heading for heading in AGENTS_SPARED if heading in headings]
    return (*least, *(each for each in reversed(headings) if each not in {*least, "device id"}))


def agents(found: Iterable[Agent]) -> Table:
    """One line per agent."""
    return rows([agent.row() for agent in found])


def rows(found: Sequence[dict[str, Any]], of: int | None = None) -> Table:
    """One line per row, all of which have the same columns; ``of`` is how many there are where not all are shown."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    if of is not None and of > len(found):
        table.caption = f"{len(found)} of {of}"
    for name in found[0] if found else ():
        numbers = name in _NUMBERS or isinstance(found[0][name], int | float)
        table.add_column(name.replace("_", " "), justify="right" if numbers else "left", no_wrap=True)
    for row in found:
        shown = dict(row)
        if "last_seen" in shown:
            shown["last_seen"] = "now" if row.get("availability") == "online" else ago(row["last_seen"])
        table.add_row(*(cell(value) for value in shown.values()))
    return table


def ago(moment: str | datetime | None, now: datetime | None = None) -> str | None:
    """How long ago something was, by this machine's clock, in the largest unit of which there are two."""
    if moment is None:
        return None
    then = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    past_s = max(0.0, ((now or datetime.now(UTC)) - then).total_seconds())
    for unit, seconds in (("d", 86_400), ("h", 3600), ("min", 60)):
        if past_s >= 2 * seconds:
            return f"{past_s // seconds:.0f} {unit} ago"
    return f"{past_s // 1:.0f} s ago"


def facts(agent: Agent, *parts: BaseModel | None) -> Table:
    """One line per value of the messages, nested ones with dots; ``parts`` that are None are left out."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row(Text("device_id", style="dim"), Text(agent.device_id, style="bold"))
    table.add_row(Text("availability", style="dim"), cell(agent.availability))
    if agent.availability != "online" and agent.last_seen is not None:
        seen = f"{agent.last_seen.astimezone():%Y-%m-%d %H:%M:%S}, {ago(agent.last_seen)}"
        table.add_row(Text("last seen", style="dim"), cell(seen))
    for part in parts:
        if part is not None:
            add_facts(table, "", part.model_dump(mode="json", exclude={"schema_", "device_id"}))
    return table


def live(agent: Agent) -> Table:
    """Show the newest of everything, for `controller watch`."""
    table = Table(box=None, show_header=False, pad_edge=False)
    row = agent.row()
    for name in ("device_id", "availability", "status", "model", "device", "precision"):
        table.add_row(Text(name, style="dim"), cell(row[name]))
    table.add_row(Text("persons", style="dim"), cell(len(agent.keypoints.persons) if agent.keypoints else None))
    table.add_row(Text("frame", style="dim"), cell(agent.keypoints.seq if agent.keypoints else None))
    for name in WATCHED_METRICS:
        table.add_row(Text(name, style="dim"), cell(getattr(agent.metrics, name) if agent.metrics else None))
    if agent.state is not None and agent.state.camera.cause is not None:
        lost = f"{agent.state.camera.status}: {agent.state.camera.cause}"
        table.add_row(Text("camera", style="dim"), cell(lost))
    if agent.event is not None:
        table.add_row(Text("last event", style="dim"), cell(f"{agent.event.code}: {agent.event.message}"))
    return table


_NUMBERS: Final = frozenset({"fps", "latency_ms_p50", "persons"})


def add_facts(table: Table, place: str, value: Any) -> None:  # noqa: ANN401 - JSON
    """Add one line per value, the names of nested ones joined by dots below ``place``."""
    match value:
        case dict():
            for name, inner in value.items():
                add_facts(table, f"{place}.{name}" if place else name, inner)
        case [dict(), *_]:
            for number, inner in enumerate(value):
                add_facts(table, f"{place}.{number}", inner)
        case list():
            table.add_row(Text(printable(place), style="dim"), cell(", ".join(map(str, value)) or "-"))
        case _:
            table.add_row(Text(printable(place), style="dim"), cell(value))
