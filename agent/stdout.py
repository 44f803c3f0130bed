"""Standard output, as every program of ours treats it: it may be narrow, have few letters, and no room."""

import errno
import io
import os
import re
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TextIO

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
WORD: Final = re.compile(r"(?:[^\s`]|`[^`]*`)+|\S")
"""What stands in backticks is to be copied, and one word."""
SAY_S: Final = 10.0
"""Where there is no terminal to draw on it is said so often how far things are."""
CURE: Final = "free some space where the output goes, or send it elsewhere"


class Every:
    """Whether it is time to say again how far something is: ``period_s`` after the last time, or after the start.

    ``clock`` gives seconds.
    """

    def __init__(self, period_s: float = SAY_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._period_s = period_s
        self._clock = clock
        self._last_s = clock()

    def due(self) -> bool:
        """Whether it is time, from which the next period counts."""
        now_s = self._clock()
        if now_s - self._last_s < self._period_s:
            return False
        self._last_s = now_s
        return True


def show_what_it_can() -> None:
    """Have a terminal without UTF-8 show a question mark for what it has no letter for."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with suppress(OSError):  # another file stands there since Python began
                stream.reconfigure(errors="replace")


def full(error: OSError) -> str | None:
    """Say that there is no room for what is printed; None where the error is another.

    What standard output still holds is thrown away: it would fail once more when the program ends.
    """
    if error.errno not in FULL or error.filename is not None:
        return None
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return f"the output cannot be written: {error.strerror}"


def fitted(text: str, stream: TextIO) -> str:
    """Break lines between words where ``stream`` is a terminal, which would break them within.

    What stands in backticks stays whole, and what continues a line stands as far in as its beginning. Elsewhere every
    line stays as it is.
    """
    try:
        width = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):  # no terminal, or no file at all
        return text
    return "\n".join(broken for line in text.split("\n") for broken in _broken(line, width)) if width else text


def _broken(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    margin = line[: len(line) - len(line.lstrip())]
    lines: list[str] = []
    for word in WORD.findall(line):
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(margin + word)
    return lines
