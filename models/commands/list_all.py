"""`models list`: what the catalogue holds and what is installed."""

from pathlib import Path
from typing import Any

import click

from agent.errors import ModelError
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
    names = [*catalogue.cards(), *store.own()]
    rows = [_row(store, name, installed=name in installed) for name in names]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("name", "kind", "installed", "licence", "what"),
        ([row["name"], row["kind"], _state(row), row["licence"], row["fault"] or row["title"]] for row in rows),
    )


def _row(store: Store, name: str, *, installed: bool) -> dict[str, Any]:
    """What is known of a network or clip; one that is damaged is told as such, and hides no other."""
    row: dict[str, Any] = {"name": name, "kind": "network", "title": "", "licence": "", "installed": installed}
    row |= {"precisions": [], "fault": None}
    try:
        card = catalogue.cards().get(name) or store.card(name)
        row |= {"kind": card.kind, "title": card.title, "licence": card.licence}
        row["precisions"] = list(store.precisions(name)) if installed else []
    except ModelError as error:
        row["fault"] = str(error)
    return row


def _state(row: dict[str, Any]) -> str:
    return "damaged" if row["fault"] else " ".join(row["precisions"]) or ("yes" if row["installed"] else "-")
