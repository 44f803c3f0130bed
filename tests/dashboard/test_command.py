"""`controller dashboard` refuses what would let others in."""

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from controller.cli import cli
from controller.commands.dashboard import PORT, _place
from controller.errors import ControllerError, UsageError


@pytest.mark.parametrize("listen", ["0.0.0.0", "0.0.0.0:8420", "192.0.2.1:80", "[::]:8420", "::", "gym.example:8420"])
def test_another_address_needs_a_token(listen: str) -> None:
    """Whatever is not loopback is refused without a token, before anything listens."""
    done = CliRunner().invoke(cli, ["dashboard", "--listen", listen])
    assert isinstance(done.exception, UsageError)
    assert "is not loopback" in str(done.exception)


def test_a_token_that_could_be_guessed_is_refused(tmp_path: Path) -> None:
    """A short token is none."""
    (token := tmp_path / "token").write_text("secret\n")
    done = CliRunner().invoke(cli, ["dashboard", "--token-file", str(token)])
    assert isinstance(done.exception, UsageError)
    assert "at least 16" in str(done.exception)


def test_a_port_that_is_taken_is_told() -> None:
    """The address that somebody else has is named, with another to try."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = CliRunner().invoke(cli, ["dashboard", "--listen", f"127.0.0.1:{taken.getsockname()[1]}"])
    assert isinstance(done.exception, ControllerError)
    assert "--listen" in done.exception.hint


@pytest.mark.parametrize(
    ("listen", "place"),
    [
        ("127.0.0.1:9", ("127.0.0.1", 9)),
        ("localhost", ("localhost", PORT)),
        ("[::1]:9", ("::1", 9)),
        ("::1", ("::1", PORT)),
    ],
)
def test_an_address_is_read(listen: str, place: tuple[str, int]) -> None:
    """With and without a port, IPv6 included."""
    assert _place(listen) == place


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "127.0.0.1:99999", "127.0.0.1:http"])
def test_a_port_that_is_none_is_refused(listen: str) -> None:
    """A port is a number from 1 to 65535."""
    with pytest.raises(UsageError):
        _place(listen)
