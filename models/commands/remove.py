"""`models remove`: networks and clips out of the cache."""

import sys
from pathlib import Path

import click

from agent.errors import ModelError
from agent.stdout import fitted
from models.commands.options import FOLDER, JSON, print_json
from models.shelf.store import Store


@click.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@FOLDER
@JSON
def remove(names: tuple[str, ...], models_dir: Path, yes: bool, as_json: bool) -> None:
    """Take networks and clips out of the cache.

    Each with all its variants, INT8 that was made here too. An agent that runs one goes on with it until it ends.
    """
    store = Store(models_dir)
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        store.size(name)
        if users := sorted(set(store.users_of(name)) - set(wanted)):
            hint = f"remove it together with {', '.join(users)}"
            raise ModelError(f"{name} is a part of {', '.join(users)}, which is here", hint=hint)
    if not yes:
        _be_sure(store, wanted)
    rows = [{"name": name, "bytes": store.remove(name)} for name in wanted]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        click.echo(f"{row['name']}: removed, {_size(row['bytes'])} free")


def _be_sure(store: Store, names: list[str]) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("nobody is here to be asked: say --yes to remove without asking")
    for name in names:
        own = name in store.own()
        try:
            made = ", ".join(store.manifest(name).certificates)
        except ModelError:  # damaged, which may be why it is to go
            made = ""
        kept = (
            "which nothing fetches again"
            if own
            else f"with {made}, which was made here"
            if made
            else "to be fetched again"
        )
        told = f"{name}: {_size(store.size(name))}, {kept}"
        click.echo(fitted(told, sys.stderr), err=True)
    click.confirm("Remove?", abort=True, err=True)


def _size(count: object) -> str:
    assert isinstance(count, int)
    return f"{count / 1e6:.1f} MB"
