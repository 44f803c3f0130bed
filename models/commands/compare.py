"""`models compare`: where two networks, precisions or sizes disagree."""

from dataclasses import asdict
from pathlib import Path

import click

from agent.config.tree import Log
from agent.observe import logs
from models.commands.options import FOLDER, JSON, print_json, print_table
from models.getting.progress import Reporter
from models.judging.compare import compare as measure
from models.judging.compare import parse_side
from models.shelf.store import Store


@click.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option("--clip", required=True, help="A video file or folder of pictures, or the name of a sample clip.")
@click.option("--frames", type=click.IntRange(min=1), help="Compare so many frames, by default all.")
@click.option("--device", default="CPU", show_default=True, help="An OpenVINO device.")
@FOLDER
@JSON
def compare(
    first: str, second: str, clip: str, frames: int | None, device: str, models_dir: Path, as_json: bool
) -> None:
    """Show where two networks or sizes disagree.

    They look at the same clip. A and B are NAME[@PRECISION][:LONG_SIDE], for example movenet-multipose@INT8:384. FP32
    and the network's own input size are the defaults. Missed are people of A at score 0.3 or more of whom B has nobody
    at score 0.2 or more with an OKS of 0.5 or more; invented is the reverse.
    """
    logs.setup(Log(level="warning"))
    store = Store(models_dir)
    sides = parse_side(first), parse_side(second)
    with Reporter().steps() as tell:
        found = measure(*sides, store, clip=clip, frames=frames, device=device, tell=tell)
    if as_json:
        print_json(asdict(found))
        return
    header = ("A", "B", "frames", "people A", "people B", "matched", "mean OKS", "missed", "invented")
    mean = "-" if found.mean_oks is None else f"{found.mean_oks:.3f}"
    counts = [found.frames, found.people_a, found.people_b, found.matched, mean, found.missed, found.invented]
    print_table(header, [[found.a, found.b, *map(str, counts)]])
