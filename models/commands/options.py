"""Options that commands of ``models`` share, and how they print."""

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import click
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.config.tree import InputSize
from agent.sheet import sheet
from models.shelf import catalogue
from models.shelf.store import models_dir

GAP: Final = 2
WIDE: Final = 160
"""Columns where nobody looks."""
P = ParamSpec("P")
R = TypeVar("R")

FOLDER = click.option(
    "--models-dir",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="EDGEPOSE_PATHS__MODELS",
    default=models_dir,
    show_default="the user's cache, or systemd's state directory",
    help="Where networks and clips are kept.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")


def size_options(command: Callable[P, R]) -> Callable[P, R]:
    """``--long-side``, ``--height`` and ``--width``, see :func:`input_size`."""
    long_side = click.option(
        "--long-side", type=click.IntRange(32, 4096), help="Of the input, pixels; 384 where it may be chosen."
    )
    height = click.option(
        "--height", type=click.IntRange(32, 4096), help="Of the input, together with --width instead."
    )
    width = click.option("--width", type=click.IntRange(32, 4096))
    return long_side(height(width(command)))


def input_size(card: catalogue.NetworkCard, long_side: int | None, height: int | None, width: int | None) -> InputSize:
    """What the options say of a network whose picture is seen by ``card``. Raises UsageError for half a size."""
    if (height is None) != (width is None) or (long_side and height):
        raise click.UsageError("give --height and --width, or --long-side alone")
    if not (long_side or height) and card.input.resizable and not card.decoder.detects:
        long_side = 384
    return InputSize(long_side=long_side, height=height, width=width)


def print_json(value: object) -> None:
    """On stdout."""
    click.echo(json.dumps(value, indent=2))


def print_table(header: tuple[str, ...], rows: Iterable[list[str]]) -> None:
    """On stdout, as wide as it must be where nobody looks; a terminal too narrow has a line for each figure."""
    out, told = Console(width=None if sys.stdout.isatty() else WIDE), list(rows)
    table = Table(box=None, pad_edge=False)
    for name in header:
        table.add_column(name, no_wrap=name != header[-1])
    for row in told:
        table.add_row(*map(Text, row))
    *whole, last = zip(header, *told, strict=True)  # the last alone may be broken, between words
    least = sum(max(map(cell_len, column)) + GAP for column in whole) + max(
        cell_len(w) for t in last for w in t.split()
    )
    if out.is_terminal and least > out.width:
        table = sheet(header, (list(map(Text, row)) for row in told))
    out.print(table)
