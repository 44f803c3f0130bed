"""`agent schema`: the contract of the wire for machines."""

import json
from pathlib import Path

import click

from agent import __version__
from agent.wire import schema as contract


@click.command()
@click.option("--asyncapi", is_flag=True, help="Print the AsyncAPI 3 document of all topics instead.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write both into this folder, a file for each message and command.",
)
def schema(out: Path | None, *, asyncapi: bool) -> None:
    """Print the JSON Schemas of all messages and commands.

    Keys that a schema does not name are to be ignored: a later agent may add some.
    """
    if out is None:
        click.echo(text(contract.asyncapi(__version__) if asyncapi else contract.schemas()), nl=False)
        return
    for name, document in files().items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(document, encoding="utf-8")


def files() -> dict[str, str]:
    """Every file of the contract, by its path below a folder."""
    found = {f"{name}.schema.json": text(made) for name, made in contract.schemas().items()}
    return found | {"asyncapi.json": text(contract.asyncapi(__version__))}


def text(document: object) -> str:
    """The document as it is printed and written."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
