"""`models quantize`: the INT8 variant of a network."""

import signal
from functools import partial
from pathlib import Path

import click
from pydantic import JsonValue

from agent.config.tree import Log
from agent.errors import ModelError
from agent.extras import require
from agent.observe import logs
from agent.poses.agreement import Outcome, verdict
from models.commands.options import FOLDER, JSON, input_size, print_json, print_table, size_options
from models.getting.progress import Lines, Reporter
from models.judging.footage import footage
from models.judging.quantize import Quantized, install, require_quantizable
from models.judging.quantize import quantize as make
from models.shelf.store import Store


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
    progress: str,
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
    require_quantizable(card)
    for each in {name, (seeing := store.seeing(card)).name}:
        store.verify_variant(each, "FP32")
    size = input_size(seeing, long_side, height, width)
    with (Lines() if progress == "json" else Reporter()).steps() as tell:
        tell("reading frames", 0)
        pictures = footage(clips, store, card, size, frames)
        made = make(card, store, pictures, size, partial(verdict, missed_max=missed_max, oks_min=oks_min), tell)
    passed = made.verdict.outcome is Outcome.PASSED
    if installed := passed or force:
        install(made, store)
    _print(made, store, installed=installed, as_json=as_json)
    if not passed:
        raise ModelError(
            f"{name} at INT8: {made.verdict.reason}" + ("" if installed else ": it is not installed"),
            hint="give footage like that it is meant for, with many people, or another --missed-max and --oks-min",
        )


def _end_like_ctrl_c() -> None:
    """A request to end leaves nothing behind, also where whoever started this program keeps the signals blocked."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))


def _print(made: Quantized, store: Store, *, installed: bool, as_json: bool) -> None:
    told = _told(made, store, installed=installed)
    if as_json:
        if made.detector is not None:
            told |= {"detector": _told(made.detector, store, installed=installed)}
        print_json(told)
        return
    header = ("network", "input", "people", "missed", "mean OKS", "layers in INT8", "over FP32", "over FP16", "size")
    stages = [each for each in (made.detector, made) if each is not None]
    print_table(header, [_row(each, store, installed=installed) for each in stages])


def _told(made: Quantized, store: Store, *, installed: bool) -> dict[str, JsonValue]:
    size, judged = _bytes(made, store, installed=installed), made.verdict
    told: dict[str, JsonValue] = {"name": made.name, "precision": "INT8", "installed": installed, "bytes": size}
    told |= {"outcome": judged.outcome.value, "reason": judged.reason}
    return told | made.certificate.model_dump(mode="json")


def _bytes(made: Quantized, store: Store, *, installed: bool) -> int | None:
    return sum(file.size for file in store.manifest(made.name).files_of("INT8").values()) if installed else None


def _row(made: Quantized, store: Store, *, installed: bool) -> list[str]:
    found, size = made.certificate, _bytes(made, store, installed=installed)
    half = "-" if found.speedup_over_fp16 is None else f"{found.speedup_over_fp16:.2f} x"
    mean = "-" if found.agreement.mean_oks is None else f"{found.agreement.mean_oks:.3f}"
    row = [f"{made.name}@INT8", f"{found.height}x{found.width}", str(found.agreement.people)]
    row += [str(found.agreement.missed), mean, f"{found.layers_quantized} of {found.layers}", f"{found.speedup:.2f} x"]
    return [*row, half, "-" if size is None else f"{size / 1e6:.1f} MB"]
