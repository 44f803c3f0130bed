"""What every command does with its surroundings: standard output and error, and Ctrl-C."""

import io
import json
import signal
import sys
from contextlib import suppress
from typing import Any, Final, Self

import click

DEVICES: Final = "edgepose.devices/1"
"""Of what several devices gave: `devices` is a list."""
ERROR: Final = "edgepose.error/1"


def tell(line: str) -> None:
    """Say something that is not the result."""
    click.echo(line, err=True)


def complain(line: str) -> None:
    """Say that something was skipped."""
    tell(f"Warning: {line}")


def print_json(value: Any, indent: int | None = 2) -> None:  # noqa: ANN401 - JSON
    """Print the result."""
    click.echo(json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False))


def print_what_it_can() -> None:
    """Have a terminal without UTF-8 show a question mark for what it has no letter for."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with suppress(OSError):  # another file stands there since Python began
                stream.reconfigure(errors="replace")


def print_devices(devices: list[dict[str, Any]]) -> None:
    """Print what several devices gave."""
    print_json({"schema": DEVICES, "devices": devices})


def tell_error(message: str, *, hint: str = "", code: int = 1, as_json: bool = False) -> None:
    """Say why something was not done, and the cure; ``code`` is the exit code."""
    if as_json:
        error = {"exit_code": code, "message": message, "hint": hint}
        tell(json.dumps({"schema": ERROR, "error": error}, ensure_ascii=False))
        return
    tell(f"Error: {message}")
    if hint:
        tell(f"Hint: {hint}")


class UntilEnded:
    """A block that Ctrl-C or SIGTERM ends early, as a context manager; ``asked`` tells whether one of them did.

    The signal raises KeyboardInterrupt wherever the block is, and a library may make an error of its own of that, as
    pydantic does where it strikes amid a serializer. So whatever the block raises once it was asked to end is its end.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> bool:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        return self.asked

    def _ask(self, *_: object) -> None:
        self.asked = True
        raise KeyboardInterrupt
