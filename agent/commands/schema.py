"""`agent schema`: the messages of the wire for machines."""

import json
from typing import Any

import click
from pydantic import BaseModel

from agent.wire import messages
from agent.wire.commands import ARGS


@click.command()
def schema() -> None:
    """Print the JSON Schemas of all messages and commands.

    Keys that a schema does not name are to be ignored: a later agent may add some.
    """
    found = {_name(kind): _of(kind) for kind in sorted(messages.Message.__subclasses__(), key=_name)}
    found |= {f"command/{name}": _of(args, closed=True) for name, args in sorted(ARGS.items())}
    click.echo(json.dumps(found, indent=2))


def _name(kind: type[messages.Message]) -> str:
    """What the message calls itself, `state` of `edgepose.state/1`."""
    return str(kind.model_fields["schema_"].default).removeprefix("edgepose.").partition("/")[0]


def _of(kind: type[BaseModel], *, closed: bool = False) -> Any:  # noqa: ANN401 - JSON
    made = kind.model_json_schema()
    return made if closed else _open(made)


def _open(schema: Any) -> Any:  # noqa: ANN401 - JSON
    """Return it without "no other keys", which the agent holds itself to and readers must not hold it to."""
    match schema:
        case dict():
            return {
                key: _open(value) for key, value in schema.items() if (key, value) != ("additionalProperties", False)
            }
        case list():
            return [_open(each) for each in schema]
        case _:
            return schema
