"""Standard output, as every program of ours treats it: it may have few letters, and no room."""

import errno
import io
import os
import sys
from contextlib import suppress
from typing import Final

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
CURE: Final = "free some space where the output goes, or send it elsewhere"


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
