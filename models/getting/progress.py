"""What a person sees while a command of `models` works: bars on a terminal, lines elsewhere. Always on stderr."""

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column

from agent.stdout import Every

STEPS: Final = 50
"""A program is told so often in all how far a download is."""

Tell = Callable[[str, float], None]
"""Hears what is being done, and the fraction of the whole that is done."""
TellAny = Callable[[str, float | None], None]
"""Hears the same where nobody may know how much there is to do: None."""


def untold(_step: str, _fraction: float | None) -> None:
    """Where nobody listens."""


class Reporter:
    """Reports to a person; ``Reporter(Console(quiet=True))`` says nothing. ``clock`` gives seconds."""

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console or Console(stderr=True)
        self._clock = clock

    def line(self, text: str) -> None:
        """Say one thing."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def task(self, text: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Show that ``text`` is under way; call what is yielded with the bytes done so far."""
        if not self._console.is_terminal:
            yield self._lines_of(text, total)
            return
        with _drawn(
            self._console,
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            DownloadColumn(),
            TimeElapsedColumn(),
        ) as progress:
            row = progress.add_task(text, total=total)
            yield lambda done: progress.update(row, completed=done)

    def _lines_of(self, text: str, total: int | None) -> Callable[[int], None]:
        self.line(f"{text} ({decimal(total)})" if total else text)
        every = Every(clock=self._clock)

        def advance(done: int) -> None:
            if every.due():
                of = f" of {decimal(total)}, {_percent(done / total)}" if total else ""
                self.line(f"{text}: {decimal(done)}{of}")

        return advance

    @contextmanager
    def steps(self) -> Iterator[TellAny]:
        """Show work that is done in steps; call what is yielded with what is being done."""
        if not self._console.is_terminal:
            yield self._line_a_step()
            return
        step = TextColumn("{task.description}", markup=False, table_column=Column())  # broken between words, never cut
        with _drawn(self._console, BarColumn(bar_width=24), step, TimeElapsedColumn()) as progress:
            row = progress.add_task("", total=None)
            yield lambda step, fraction: progress.update(
                row, description=step, completed=fraction, total=None if fraction is None else 1.0
            )

    def _line_a_step(self) -> TellAny:
        """A line when another kind of step begins; while only its numbers change, one now and then."""
        kind, every = "", Every(clock=self._clock)

        def tell(step: str, fraction: float | None) -> None:
            nonlocal kind, every
            words = re.sub(r"\d+", "", step)
            if words != kind:
                kind, every = words, Every(clock=self._clock)
            elif not every.due():
                return
            self.line(step if fraction is None else f"{_percent(fraction):>5} {step}")

        return tell


class Lines(Reporter):
    """Reports to a program: a line of JSON on stderr at each step, with ``progress`` of that step from 0 to 1."""

    def line(self, text: str) -> None:
        """Say one thing."""
        self._say(text, 0.0)

    @contextmanager
    def task(self, text: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Tell that ``text`` is under way, and how far it is: the bytes alone where ``total`` is unknown."""
        said, every = 0, Every(clock=self._clock)

        def advance(done: int) -> None:
            nonlocal said
            if total and (step := STEPS * min(done, total) // total) > said:
                said = step
                self._say(text, step / STEPS)
            elif not total and every.due():
                self._say(f"{text}: {decimal(done)}", 0.0)

        self._say(text, 0.0)
        yield advance

    @contextmanager
    def steps(self) -> Iterator[TellAny]:
        """Tell of work that is done in steps."""
        yield lambda step, fraction: self._say(step, fraction or 0.0)

    def _say(self, step: str, progress: float) -> None:
        sys.stderr.write(json.dumps({"step": step, "progress": round(progress, 3)}) + "\n")
        sys.stderr.flush()


def _percent(share: float) -> str:
    return f"{min(share, 1.0):.0%}".replace("%", " %")


@contextmanager
def _drawn(console: Console, *columns: ProgressColumn) -> Iterator[Progress]:
    """Draw it until the block ends. Ctrl-C may come amid its start, which has hidden the cursor by then."""
    progress = Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
    try:
        progress.start()
        yield progress
    finally:
        progress.stop()
