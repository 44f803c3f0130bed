"""What `make test-terminal` looks at is everything there is to see; the outputs themselves are looked at there."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from agent.cli import agent
from controller.cli import cli as controller
from models.cli import cli as models
from tests.controller.captures import Capture, captures

TREES = {"agent": agent, "controller": controller, "models": models}
NOT_CAPTURED: dict[str, str] = {}
"""Commands of which only the help is looked at, each with the reason."""


def commands_of(command: click.Command, *path: str) -> Iterator[str]:
    """The full name of each command of a click tree."""
    if not isinstance(command, click.Group):
        yield " ".join(path)
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from commands_of(found, *path, name)


def test_no_command_is_forgotten(tmp_path: Path) -> None:
    """Each command of the three programs is captured, or stands in the list of those that are not; and its help is."""
    there = {name for program, tree in TREES.items() for name in commands_of(tree, program)}
    made = list(captures(1, tmp_path))
    seen = {capture.of for capture in made if not capture.help}
    assert there - seen == set(NOT_CAPTURED), "add it to captures.py, or say above why not"
    assert seen <= there
    assert {" ".join(capture.command[:-1]) for capture in made if capture.help} == there | set(TREES)
    assert len({capture.name for capture in made}) == len(made), "one would overwrite the other's outputs"


TABLE = "name      what it does\nthe-box-1  everything"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("name      what it does\nthe-box-1  everything", None),
        ("name      what it\n          does\nthe-box-1  everything", None),
        ("name\nthe-box-1\nNot shown, for want of width: what it does", None),
        ("name\nthe-box-1 everything", "no column 'what it does', unsaid"),
        ("name what it does\nthe-b… everything", "something is cut"),
        ("name what it does\nthe-b x everything\nox-1", "the-box-1 is cut"),
        ("name what it does\nthe-box-1 every\nthing", "'everything' is broken"),
        ("name what it does\nthe-box-1 everything Traceback", "a traceback"),
        ("name what it does the-box-1 everything and more", "a line of 47"),
        ("name      what it does\nthe-box-1  everything to 1 boxes", "'1 boxes'"),
        ("name      what it does\nthe-box-1  everything is 1 s at 1 fps", None),
    ],
)
def test_what_is_a_fault(text: str, fault: str | None) -> None:
    """A table too narrow for its columns may break between words and say what it leaves out, and nothing else."""
    capture = Capture("any", ("controller", "list"), ids=("the-box-1",), table=True)
    found = list(capture.faults(text, 44, TABLE))
    assert (fault in found) if fault else found == [], found
