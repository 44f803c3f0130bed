"""Options that commands of ``models`` share, and how they print."""

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ParamSpec, TypeVar

import click
from rich.console import Console
from rich.table import Table

from agent.config.tree import InputSize
from models.shelf import catalogue
from models.shelf.store import models_dir

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
    """On stdout, as wide as it must be where nobody looks."""
    table = Table(*header, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(cell.replace("[", "\\[") for cell in row))
    Console(width=None if sys.stdout.isatty() else 160).print(table)
