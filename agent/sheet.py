"""A table for a terminal too narrow for it: a line for each value."""

from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text


def sheet(headings: Sequence[str], rows: Iterable[Sequence[Text]]) -> Table:
    """Of each row a line for each of its values behind its heading, and an empty one before the next; none is cut.

    A value that is empty says nothing, and has no line.
    """
    table = Table(box=None, show_header=False, pad_edge=False)
    for number, row in enumerate(rows):
        if number:
            table.add_row()
        for heading, text in zip(headings, row, strict=True):
            if text.plain:
                table.add_row(Text(heading, style="dim"), Text(text.plain, text.style, overflow="fold"))
    return table
