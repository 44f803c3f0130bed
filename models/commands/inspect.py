"""`models inspect`: what a network is made of."""

import sys
from dataclasses import asdict
from pathlib import Path

import click

from agent.stdout import fitted
from models.commands.options import FOLDER, JSON, print_json, print_table
from models.shelf.inspect import inspect as inspect_network
from models.shelf.store import Store


@click.command()
@click.argument("name")
@click.option("--height", type=click.IntRange(min=1), help="Input height, by default the card's.")
@click.option("--width", type=click.IntRange(min=1), help="Input width, by default the card's.")
@FOLDER
@JSON
def inspect(name: str, height: int | None, width: int | None, models_dir: Path, as_json: bool) -> None:
    """Show what a network is made of.

    Its inputs, outputs, arithmetic, parameters, files and precisions.
    """
    store = Store(models_dir)
    card = store.card(name)
    store.verify(name)
    summary = inspect_network(card, store, height, width)
    if as_json:
        print_json({"title": card.title, "licence": card.licence, "origin": card.origin, **asdict(summary)})
        return
    click.echo(fitted(f"{card.title}\n{card.licence}; {card.origin}\n", sys.stdout))
    size = f"{summary.height}x{summary.width}"
    click.echo(f"{summary.gflops:.3f} GFLOPs at {size}, {summary.parameters / 1e6:.3f} M parameters\n")
    tensors = [("input", tensor) for tensor in summary.inputs] + [("output", tensor) for tensor in summary.outputs]
    print_table(("", "tensor", "shape", "type"), ([kind, t.name, t.shape, t.type] for kind, t in tensors))
    sizes = [[variant.precision, f"{variant.bytes / 1e6:.1f} MB"] for variant in summary.variants]
    if summary.original_bytes:
        sizes.append(["TensorFlow graph", f"{summary.original_bytes / 1e6:.1f} MB"])
    print_table(("present", "size"), sizes)
