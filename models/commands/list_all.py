"""`models list`: what the catalogue holds and what is installed."""

from pathlib import Path
from typing import Any

import click

from models.commands.options import FOLDER, JSON, print_json, print_table
from models.shelf import catalogue
from models.shelf.store import Store


@click.command("list")
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
