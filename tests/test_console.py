"""How the commands of a box end."""

from collections.abc import Callable

import click
import pytest

from agent import console


def ctrl_c() -> None:
    raise KeyboardInterrupt


def no() -> None:
    raise click.Abort


@pytest.mark.parametrize(("ends", "code"), [(ctrl_c, 130), (no, 1)])
def test_a_no_is_not_ctrl_c(ends: Callable[[], None], code: int) -> None:
    """Whoever was asked and has not agreed gets 1, as from `controller`; 130 is Ctrl-C."""
    assert console.run(click.Command("any", callback=ends)) == code
