"""What every command does with its surroundings: standard output and error, and the way to the broker."""

import contextlib
import json
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from controller.options import Given

# Paho is imported by the command that needs it: --help and completion stay quick.
if TYPE_CHECKING:
    from controller.session import Session


def tell(line: str) -> None:
    """Say something that is not the result."""
    click.echo(line, err=True)


def complain(line: str) -> None:
    """Say that something was skipped."""
    tell(f"Warning: {line}")


def print_json(value: Any, indent: int | None = 2) -> None:  # noqa: ANN401 - JSON
    """Print the result."""
    click.echo(json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False))


@contextlib.contextmanager
def open_session(given: Given) -> "Iterator[Session]":
    """Connect as the options say."""
    from controller.session import Session  # noqa: PLC0415

    with Session(given, complain=complain) as session:
        yield session


@contextlib.contextmanager
def until_ended() -> Iterator[None]:
    """Ctrl-C is the usual end, and SIGTERM says the same."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        yield
