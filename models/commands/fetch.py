"""`models fetch` and `add`: networks and clips into the cache."""

import sys
from pathlib import Path

import click

from agent.poses.decoders import roles_of
from agent.stdout import fitted
from models.commands.options import FOLDER, JSON, print_json
from models.getting.fetch import fetch as fetch_card
from models.getting.fetch import gather
from models.getting.own import add as add_own
from models.getting.progress import Lines, Reporter
from models.shelf import catalogue
from models.shelf.store import Store


@click.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--from", "origin", type=click.Path(path_type=Path), help="A folder, file or archive already at hand.")
@click.option(
    "--files-to",
    type=click.Path(file_okay=False, path_type=Path),
    help="Install nothing: bring the files into this folder, for --from on a box without a network.",
)
@click.option(
    "--progress", type=click.Choice(["bar", "json"]), default="bar", help="How far it is, as bars or as lines of JSON."
)
@FOLDER
@JSON
def fetch(
    names: tuple[str, ...],
    origin: Path | None,
    files_to: Path | None,
    progress: str,
    models_dir: Path,
    as_json: bool,
) -> None:
    """Fetch networks and clips into the cache.

    What is there already is checked and left alone.
    """
    store = Store(models_dir)
    reporter = Lines() if progress == "json" else Reporter()
    if files_to is not None:
        if origin is not None:
            raise click.UsageError("--files-to takes files from their sources: it does not go with --from")
        files = [
            str(path) for name in names for path in gather(catalogue.card(name), store, files_to, reporter=reporter)
        ]
        print_json(files) if as_json else click.echo("\n".join(files))
        return
    rows = []
    for card in [catalogue.card(name) for name in names]:
        fetched = fetch_card(card, store, origin=origin, reporter=reporter)
        rows.append({"name": card.name, "fetched": fetched, "folder": str(store.network(card.name))})
        if not as_json:
            told = f"{card.name}: {'ready' if fetched else 'already there'} in {rows[-1]['folder']}"
            click.echo(fitted(told, sys.stdout))
    if as_json:
        print_json(rows)


@click.command()
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
    store = Store(models_dir)
    added = add_own(card, origin or card.parent, store, roles_of)
    told = f"{added.name}: {' '.join(store.precisions(added.name))} ready in {store.network(added.name)}"
    click.echo(fitted(told, sys.stdout))
