"""What every command does with its surroundings: standard output and error."""

import json
import sys
from typing import Any, Final

import click

from agent.stdout import fitted

DEVICES: Final = "edgepose.devices/1"
"""Of what several devices gave: `devices` is a list."""
ERROR: Final = "edgepose.error/1"


def tell(line: str) -> None:
    """Say something that is not the result; a narrow terminal has it broken between words."""
    click.echo(fitted(line, sys.stderr), err=True)


def complain(line: str) -> None:
    """Say that something was skipped."""
    tell(f"Warning: {line}")


def print_json(value: Any, indent: int | None = 2) -> None:  # noqa: ANN401 - JSON
    """Print the result."""
    click.echo(json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False))


def print_devices(devices: list[dict[str, Any]], indent: int | None = 2) -> None:
    """Print what several devices gave."""
    print_json({"schema": DEVICES, "devices": devices}, indent)


def tell_error(message: str, *, hint: str = "", code: int = 1, as_json: bool = False) -> None:
    """Say why something was not done, and the cure; ``code`` is the exit code."""
    if as_json:
        error = {"exit_code": code, "message": message, "hint": hint}
        click.echo(json.dumps({"schema": ERROR, "error": error}, ensure_ascii=False), err=True)
        return
    tell(f"Error: {message}")
    if hint:
        tell(f"Hint: {hint}")
