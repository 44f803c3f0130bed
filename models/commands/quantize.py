"""`models quantize`: the INT8 variant of a network."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from agent.config.tree import Log
from agent.errors import ModelError
from agent.extras import require
from agent.observe import logs
from agent.poses.agreement import Outcome, verdict
from models.commands.options import FOLDER, JSON, input_size, print_json, print_table, size_options
from models.judging.footage import footage
from models.judging.quantize import Quantized, install, require_one_stage
from models.judging.quantize import quantize as make
from models.judging.sensitivity import Tell
from models.shelf.store import Store

Style = Literal["bar", "json"]


@click.command()
@click.argument("name")
@click.option(
    "--clip",
    "clips",
    required=True,
    multiple=True,
    help="A video file or folder of pictures, or the name of a sample clip, with people in view. May be given several "
    "times.",
)
@click.option(
    "--frames", type=click.IntRange(60, 5000), default=300, show_default=True, help="Look at so many, from all along."
)
@size_options
@click.option(
    "--missed-max",
    type=click.FloatRange(0, 1),
    default=0.03,
    show_default=True,
    help="Fraction of FP32's people that may be missed.",
)
@click.option(
    "--oks-min",
    type=click.FloatRange(0, 1),
    default=0.85,
    show_default=True,
    help="How alike the poses of the others must be, mean.",
)
@click.option(
    "--force", is_flag=True, help="Install it even if it fails; the agent looks for itself before it uses it."
)
@click.option(
    "--progress",
    type=click.Choice(("bar", "json")),
    default="bar",
    help="On stderr: for people, or a JSON object a line for machines.",
)
@FOLDER
@JSON
def quantize(  # noqa: PLR0913, PLR0917 - one parameter per option
    name: str,
    clips: tuple[str, ...],
    frames: int,
    long_side: int | None,
    height: int | None,
    width: int | None,
    missed_max: float,
    oks_min: float,
    force: bool,
    progress: Style,
    models_dir: Path,
    as_json: bool,
) -> None:
    """Make the INT8 variant of a network.

    Calibrated on your own footage, and compared with FP32 on frames held back: only what finds the people FP32 finds is
    installed. Takes some minutes. Needs the extra `quantize`.
    """
    _end_like_ctrl_c()
    logs.setup(Log(level="warning"))
    require("nncf")  # told before the footage is read
    card = (store := Store(models_dir)).card(name)
    require_one_stage(card)
    store.verify_variant(name, "FP32")
    size = input_size(card, long_side, height, width)
    with _telling(progress) as tell:
        tell("reading frames", 0)
        pictures = footage(clips, store, card, size, frames)
        made = make(card, store, pictures, size, partial(verdict, missed_max=missed_max, oks_min=oks_min), tell)
    passed = made.verdict.outcome is Outcome.PASSED
    xml = install(made, card, store) if passed or force else None
    _print(name, made, xml, as_json=as_json)
    if not passed:
        raise ModelError(
            f"{name} at INT8: {made.verdict.reason}" + (": it is not installed" if xml is None else ""),
            hint="give footage like that it is meant for, with many people, or another --missed-max and --oks-min",
        )


def _end_like_ctrl_c() -> None:
    """A request to end leaves nothing behind, also where whoever started this program keeps the signals blocked."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))


@contextmanager
def _telling(style: Style) -> Iterator[Tell]:

    if style == "json":
        yield lambda step, fraction: click.echo(json.dumps({"step": step, "progress": round(fraction, 3)}), err=True)
        return
    console = Console(stderr=True)
    columns = (BarColumn(bar_width=24), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as bar:
        row = bar.add_task("", total=1.0)
        yield lambda step, fraction: bar.update(row, description=step, completed=fraction)


def _print(name: str, made: Quantized, xml: Path | None, *, as_json: bool) -> None:
    found = made.certificate
    size = None if xml is None else sum(xml.with_suffix(suffix).stat().st_size for suffix in (".xml", ".bin"))
    if as_json:
        told = {"name": name, "precision": "INT8", "installed": xml is not None, "bytes": size}
        judged = {"outcome": made.verdict.outcome.value, "reason": made.verdict.reason}
        print_json(told | judged | found.model_dump(mode="json"))
        return
    header = ("network", "input", "people", "missed", "mean OKS", "layers in INT8", "over FP32", "over FP16", "size")
    half = "-" if found.speedup_over_fp16 is None else f"{found.speedup_over_fp16:.2f} x"
    mean = "-" if found.agreement.mean_oks is None else f"{found.agreement.mean_oks:.3f}"
    row = [
        f"{name}@INT8",
        f"{found.height}x{found.width}",
        str(found.agreement.people),
        str(found.agreement.missed),
        mean,
    ]
    row += [f"{found.layers_quantized} of {found.layers}", f"{found.speedup:.2f} x", half]
    print_table(header, [[*row, "-" if size is None else f"{size / 1e6:.1f} MB"]])
