"""How the commands of a box end."""

from collections.abc import Callable

import click
import pytest
from click.testing import CliRunner

import agent.cli
import controller.cli
import models.cli
from agent import console


def ctrl_c() -> None:
    raise KeyboardInterrupt


def no() -> None:
    raise click.Abort


@pytest.mark.parametrize(("ends", "code"), [(ctrl_c, 130), (no, 1)])
def test_a_no_is_not_ctrl_c(ends: Callable[[], None], code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was asked and has not agreed gets 1, as from `controller`; 130 is Ctrl-C."""
    monkeypatch.setattr("sys.argv", ["any"])  # not what the tests were started with
    assert console.run(click.Command("any", callback=ends)) == code


def floats() -> list[tuple[click.Group, str, str]]:
    """Every option of the three programs that takes a number within bounds: program, command, option."""
    return [
        (program, name, max(option.opts, key=len))
        for program in (agent.cli.agent, controller.cli.cli, models.cli.cli)
        for name in program.list_commands(click.Context(program))
        if (command := program.get_command(click.Context(program), name)) is not None
        for option in command.params
        if isinstance(option.type, click.FloatRange)
    ]


def test_what_is_no_number_is_within_no_bounds() -> None:
    """NaN is refused by the option that it was given to, whatever the bounds: each comparison with it is false."""
    found = floats()
    assert {"--timeout", "--missed-max", "--seconds", "--fps"} <= {option for _program, _name, option in found}
    for program, name, option in found:
        done = CliRunner().invoke(program, [name, option, "nan"], standalone_mode=False)
        assert isinstance(done.exception, click.BadParameter), (name, option, done.exception)
        assert "'nan' is no number" in str(done.exception)
