"""The command ``models``: what the catalogue holds, fetching it, looking into it."""

import sys
from pathlib import Path
from typing import Any

import click

from agent import console
from models import catalogue
from models.options import FOLDER, JSON, input_size, print_json, print_table, size_options
from models.quantize_command import quantize
from models.store import Store

# OpenVINO, rich and requests are imported by the commands that need them: help answers at once.


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def cli() -> None:
    """Fetch networks and sample clips, look into them, and measure them.

    A newcomer needs none of this: `agent demo` fetches what it runs.
    """


@cli.command("list")
@FOLDER
@JSON
def list_(models_dir: Path, as_json: bool) -> None:
    """List networks and clips, installed or not."""
    store = Store(models_dir)
    installed = set(store.names())
    rows: list[dict[str, Any]] = [
        {
            "name": card.name,
            "kind": card.kind,
            "title": card.title,
            "licence": card.licence,
            "installed": card.name in installed,
            "precisions": list(store.precisions(card.name)) if card.name in installed else [],
        }
        for card in [*catalogue.cards().values(), *map(store.card, store.own())]
    ]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("name", "kind", "installed", "licence", "what"),
        ([row["name"], row["kind"], _state(row), row["licence"], row["title"]] for row in rows),
    )


def _state(row: dict[str, Any]) -> str:
    return " ".join(row["precisions"]) or ("yes" if row["installed"] else "-")


@cli.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--from", "origin", type=click.Path(path_type=Path), help="A folder, file or archive already at hand.")
@click.option(
    "--files-to",
    type=click.Path(file_okay=False, path_type=Path),
    help="Install nothing: bring the files into this folder, for --from on a box without a network.",
)
@FOLDER
@JSON
def fetch(names: tuple[str, ...], origin: Path | None, files_to: Path | None, models_dir: Path, as_json: bool) -> None:
    """Fetch networks and clips into the cache.

    What is there already is checked and left alone.
    """
    from models.fetch import fetch as fetch_card  # noqa: PLC0415
    from models.fetch import gather  # noqa: PLC0415

    store = Store(models_dir)
    if files_to is not None:
        if origin is not None:
            raise click.UsageError("--files-to takes files from their sources: it does not go with --from")
        files = [str(path) for name in names for path in gather(catalogue.card(name), store, files_to)]
        print_json(files) if as_json else click.echo("\n".join(files))
        return
    rows = []
    for card in [catalogue.card(name) for name in names]:
        fetched = fetch_card(card, store, origin=origin)
        rows.append({"name": card.name, "fetched": fetched, "folder": str(store.network(card.name))})
        if not as_json:
            click.echo(f"{card.name}: {'ready' if fetched else 'already there'} in {rows[-1]['folder']}")
    if as_json:
        print_json(rows)


@cli.command()
@click.argument("name")
@click.option("--height", type=click.IntRange(min=1), help="Input height, by default the card's.")
@click.option("--width", type=click.IntRange(min=1), help="Input width, by default the card's.")
@FOLDER
@JSON
def inspect(name: str, height: int | None, width: int | None, models_dir: Path, as_json: bool) -> None:
    """Show what a network is made of.

    Its inputs, outputs, arithmetic, parameters, files and precisions.
    """
    from dataclasses import asdict  # noqa: PLC0415

    from models.inspect import inspect as inspect_network  # noqa: PLC0415

    store = Store(models_dir)
    card = store.card(name)
    store.verify(name)
    summary = inspect_network(card, store, height, width)
    if as_json:
        print_json({"title": card.title, "licence": card.licence, "origin": card.origin, **asdict(summary)})
        return
    click.echo(f"{card.title}\n{card.licence}; {card.origin}\n")
    size = f"{summary.height}x{summary.width}"
    click.echo(f"{summary.gflops:.3f} GFLOPs at {size}, {summary.parameters / 1e6:.3f} M parameters\n")
    tensors = [("input", tensor) for tensor in summary.inputs] + [("output", tensor) for tensor in summary.outputs]
    print_table(("", "tensor", "shape", "type"), ([kind, t.name, t.shape, t.type] for kind, t in tensors))
    sizes = [[variant.precision, f"{variant.bytes / 1e6:.1f} MB"] for variant in summary.variants]
    if summary.original_bytes:
        sizes.append(["TensorFlow graph", f"{summary.original_bytes / 1e6:.1f} MB"])
    print_table(("present", "size"), sizes)


@cli.command()
@click.argument("card", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--from",
    "origin",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder of the files the card names, by default the card's own.",
)
@FOLDER
def add(card: Path, origin: Path | None, models_dir: Path) -> None:
    """Install a network of your own.

    A card, and the IR or ONNX files it names. See docs/bring-your-own.md.
    """
    from models.own import add as add_own  # noqa: PLC0415

    store = Store(models_dir)
    added = add_own(card, origin or card.parent, store)
    click.echo(f"{added.name}: {' '.join(store.precisions(added.name))} ready in {store.network(added.name)}")


@cli.command()
@click.argument("name")
@click.option(
    "--images", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True, help="Folder of pictures."
)
@click.option(
    "--annotations",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="COCO's person_keypoints JSON.",
)
@click.option(
    "--precision",
    "precisions",
    type=click.Choice(catalogue.PRECISIONS, case_sensitive=False),
    multiple=True,
    help="May be given several times; by default all that are present.",
)
@click.option("--device", default="CPU", show_default=True, help="An OpenVINO device.")
@size_options
@FOLDER
@JSON
def evaluate(  # noqa: PLR0913, PLR0917 - one parameter per option
    name: str,
    images: Path,
    annotations: Path,
    precisions: tuple[catalogue.Precision, ...],
    device: str,
    long_side: int | None,
    height: int | None,
    width: int | None,
    models_dir: Path,
    as_json: bool,
) -> None:
    """Measure average precision on your pictures.

    OKS average precision as pycocotools defines it, on pictures annotated in COCO's format. Needs the extra
    `evaluate`.
    """
    from dataclasses import asdict  # noqa: PLC0415

    from models.evaluate import evaluate as measure  # noqa: PLC0415

    store = Store(models_dir)
    size = input_size(store.card(name), long_side, height, width)
    found = [
        measure(name, store, precision=precision, device=device, size=size, images=images, annotations=annotations)
        for precision in precisions or store.precisions(name)
    ]
    if as_json:
        print_json([asdict(row) for row in found])
        return
    header = ("network", "precision", "runs in", "device", "input", "pictures", "AP", "AP50", "AP75", "AR")
    print_table(
        header,
        (
            [row.network, row.precision, row.inference_precision, row.device, row.input, str(row.pictures)]
            + [f"{figure:.3f}" for figure in (row.ap, row.ap50, row.ap75, row.ar)]
            for row in found
        ),
    )


@cli.command()
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
    from dataclasses import asdict  # noqa: PLC0415

    from agent import logs  # noqa: PLC0415
    from agent.config import Log  # noqa: PLC0415
    from models.compare import compare as measure  # noqa: PLC0415
    from models.compare import parse_side  # noqa: PLC0415

    logs.setup(Log(level="warning"))
    store = Store(models_dir)
    found = measure(parse_side(first), parse_side(second), store, clip=clip, frames=frames, device=device)
    if as_json:
        print_json(asdict(found))
        return
    header = ("A", "B", "frames", "people A", "people B", "matched", "mean OKS", "missed", "invented")
    mean = "-" if found.mean_oks is None else f"{found.mean_oks:.3f}"
    counts = [found.frames, found.people_a, found.people_b, found.matched, mean, found.missed, found.invented]
    print_table(header, [[found.a, found.b, *map(str, counts)]])


cli.add_command(quantize)


def main() -> None:
    """Entry point."""
    sys.exit(console.run(cli))


if __name__ == "__main__":
    main()
