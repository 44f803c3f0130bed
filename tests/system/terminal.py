"""A terminal to run a program in, and what a person would see on it."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from tests.system.process import ROOT, environment

ROWS, COLUMNS = 50, 110
TOKEN: Final = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|(\r|\n)|([^\x1b\r\n]+)")


def screen(output: str) -> list[str]:
    """The lines that stand on the screen, of output that moves the cursor as rich does: up, to the margin, erase."""
    lines, row, column = [""], 0, 0
    for number, letter, control, text in TOKEN.findall(output):
        if text:
            line = lines[row].ljust(column)
            lines[row] = line[:column] + text + line[column + len(text) :]
            column += len(text)
        elif control == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif control == "\r":
            column = 0
        elif letter == "A":
            row = max(0, row - int(number or 1))
        elif letter == "K":
            lines[row] = "" if number == "2" else lines[row][:column]
    return [line.rstrip() for line in lines]


class Terminal:
    """A command whose input, output and controlling terminal is a pseudo-terminal, as a context manager."""

    def __init__(self, command: list[str | Path], **variables: str) -> None:
        self._command = ["setsid", "--ctty", *command]
        self._environment = environment(TERM="xterm-256color", **variables)
        self._news = threading.Condition()
        self._output = b""
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        # Else Ctrl-C would also throw away what was written and not yet read, faster than a person can.
        modes = termios.tcgetattr(theirs)
        modes[3] |= termios.NOFLSH
        termios.tcsetattr(theirs, termios.TCSANOW, modes)
        self.popen = subprocess.Popen(
            self._command, stdin=theirs, stdout=theirs, stderr=theirs, env=self._environment, cwd=ROOT
        )
        os.close(theirs)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait(10)
        self._reader.join(10)
        os.close(self._ours)

    def _read(self) -> None:
        with suppress(OSError):  # the last program has left the terminal
            while data := os.read(self._ours, 65536):
                with self._news:
                    self._output += data
                    self._news.notify_all()

    @property
    def shown(self) -> str:
        """What stands on the screen now, all of it from the beginning."""
        return "\n".join(screen(self._output.decode(errors="replace")))

    def wait(self, wanted: Callable[[str], bool], timeout_s: float = 60.0) -> str:
        """Wait until the screen shows what is wanted; returns it."""
        with self._news:
            assert self._news.wait_for(lambda: wanted(self.shown), timeout_s), self.shown
            return self.shown

    def press(self, key: bytes) -> None:
        """Send a key."""
        os.write(self._ours, key)

    def end(self, timeout_s: float = 30.0) -> int:
        """Wait for the exit code and for the last output."""
        code = self.popen.wait(timeout_s)
        self._reader.join(10)
        return code
