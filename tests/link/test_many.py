"""Many commands through each broker; `make fault` has ten thousand."""

from pathlib import Path

from tests.link.many import through


def test_many_commands_through_each_broker(tmp_path: Path) -> None:
    """Every command arrives, and every answer, in order, through mosquitto and through one that takes three at once."""
    assert through(tmp_path, 1000) == 0
