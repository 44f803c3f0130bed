"""What is said in a terminal too narrow for it."""

import fcntl
import io
import os
import pty
import struct
import termios
from pathlib import Path

import pytest

from agent.stdout import fitted

LINE = "Hint: look with `controller job the-box-1 quantize-1 --follow`, or end it"


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (200, [LINE]),
        (60, ["Hint: look with", "`controller job the-box-1 quantize-1 --follow`, or end it"]),
        (20, ["Hint: look with", "`controller job the-box-1 quantize-1 --follow`,", "or end it"]),
    ],
)
def test_lines_break_between_words(width: int, lines: list[str]) -> None:
    """What is to be copied stays whole, also where it is wider than the terminal; what is indented stays so."""
    near, far = pty.openpty()
    fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    with os.fdopen(far, "w", encoding="utf-8") as screen:
        assert fitted(f"  {LINE}\n\n{LINE}", screen).split("\n\n")[1].split("\n") == lines
        assert all(line.startswith("  ") for line in fitted(f"  {LINE}", screen).split("\n"))
        assert fitted(LINE, screen).replace("\n", " ") == LINE
    os.close(near)


def test_without_a_terminal_lines_stay_whole() -> None:
    """A file has every line as it is, and so has what is no file at all."""
    with Path(os.devnull).open("w", encoding="utf-8") as nothing:
        assert fitted(LINE, nothing) == LINE
    assert fitted(LINE, io.StringIO()) == LINE
