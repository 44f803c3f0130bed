"""What commands of `models` say while they work: bars on a terminal, lines elsewhere, JSON for programs."""

import io
import json

import pytest
from rich.console import Console

from agent.stdout import SAY_S
from models.getting.progress import Lines, Reporter


class Log(Reporter):
    """A reporter into a file, with a clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._file = io.StringIO()
        super().__init__(Console(file=self._file, width=60), lambda: self.now_s)

    @property
    def said(self) -> list[str]:
        return self._file.getvalue().splitlines()


def test_a_download_into_a_log_says_now_and_then_how_far_it_is() -> None:
    """Without a terminal a line every ten seconds, not one for each piece that arrives."""
    log = Log()
    with log.task("a.bin from example.org", 8_000_000) as advance:
        for megabytes in range(9):
            log.now_s = megabytes * SAY_S / 4
            advance(megabytes * 1_000_000)
    assert log.said == [
        "a.bin from example.org (8.0 MB)",
        "a.bin from example.org: 4.0 MB of 8.0 MB, 50 %",
        "a.bin from example.org: 8.0 MB of 8.0 MB, 100 %",
    ]


def test_a_download_of_unknown_size_tells_its_bytes() -> None:
    """What has come is told where nobody knows how much is to come."""
    log = Log()
    with log.task("a.zip from example.org") as advance:
        log.now_s = SAY_S
        advance(3_000_000)
    assert log.said == ["a.zip from example.org", "a.zip from example.org: 3.0 MB"]


def test_steps_into_a_log_are_a_line_each() -> None:
    """Each kind of step says that it begins; one whose number alone changes says so now and then."""
    log = Log()
    with log.steps() as tell:
        tell("reading frames", 0.0)
        for layer in range(1, 9):
            log.now_s += SAY_S / 4
            tell(f"measuring layer {layer} of 8", layer / 10)
        tell("measuring its speed", 0.9)
    assert log.said == [
        "  0 % reading frames",
        " 10 % measuring layer 1 of 8",
        " 50 % measuring layer 5 of 8",
        " 90 % measuring its speed",
    ]


def test_a_long_step_is_not_cut() -> None:
    """In a narrow terminal it is broken between words beside its bar."""
    file = io.StringIO()
    step = "measuring layer 2 of 2 without the others, for the third time"
    with Reporter(Console(file=file, width=60, force_terminal=True, color_system=None)).steps() as tell:
        tell(step, 0.5)
    assert set(step.split()) <= set(file.getvalue().split())
    assert "\N{HORIZONTAL ELLIPSIS}" not in file.getvalue()


def test_a_program_hears_of_bytes_of_an_unknown_size(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines of JSON, without a share that nobody knows."""
    now_s = 0.0
    with Lines(clock=lambda: now_s).task("a.zip from example.org") as advance:
        advance(1_000_000)
        now_s = SAY_S
        advance(3_000_000)
    told = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert told == [
        {"step": "a.zip from example.org", "progress": 0.0},
        {"step": "a.zip from example.org: 3.0 MB", "progress": 0.0},
    ]
