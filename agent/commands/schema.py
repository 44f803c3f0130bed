"""`agent schema`: the messages of the wire for machines."""

import json

import click

from agent.wire import messages


@click.command()
def schema() -> None:
    """Print the JSON Schemas of all messages."""
    kinds = sorted(messages.Message.__subclasses__(), key=lambda kind: kind.__name__)
    click.echo(json.dumps({kind.__name__.lower(): kind.model_json_schema() for kind in kinds}, indent=2))
