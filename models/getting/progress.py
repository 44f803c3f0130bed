"""What a fetch says while it works: bars on a terminal, plain lines elsewhere. Always on stderr."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

STEPS: Final = 50
"""So often a task says how far it is."""


class Reporter:
    """Reports to a person; ``Reporter(Console(quiet=True))`` says nothing."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)

    def line(self, text: str) -> None:
        """Say one thing."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def task(self, text: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Show that ``text`` is under way; call what is yielded with the bytes done so far."""
        if not self._console.is_terminal:
            self.line(f"{text} ({decimal(total)})" if total else text)
            yield lambda _done: None
            return
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            DownloadColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._console, transient=True) as progress:
            row = progress.add_task(text, total=total)
            yield lambda done: progress.update(row, completed=done)


class Lines(Reporter):
    """Reports to a program: a line of JSON on stderr at each step, with ``progress`` of that step from 0 to 1."""

    def line(self, text: str) -> None:
        """Say one thing."""
        self._say(text, 0.0)

    @contextmanager
    def task(self, text: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Tell that ``text`` is under way, and how far it is where ``total`` is known."""
        said = 0

        def advance(done: int) -> None:
            nonlocal said
            if total and (step := STEPS * min(done, total) // total) > said:
                said = step
                self._say(text, step / STEPS)

        self._say(text, 0.0)
        yield advance

    def _say(self, step: str, progress: float) -> None:
        sys.stderr.write(json.dumps({"step": step, "progress": progress}) + "\n")
        sys.stderr.flush()
