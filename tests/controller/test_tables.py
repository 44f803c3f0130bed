"""Tables at any width: no id is cut, and no column is missing unsaid."""

import io
from collections.abc import Sequence

import pytest
from pydantic import JsonValue
from rich.ansi import AnsiDecoder
from rich.console import Console
from rich.segment import Segment
from rich.table import Table

from agent.wire.commands import CheckResult, Finding, ReplyStatus
from controller.client.fleet import Agent
from controller.client.request import Outcome
from controller.client.rollout import Box
from controller.commands import events
from controller.terminal import jobs, look_into, rollout, tables, tuning
from tests import samples
from tests.controller.responder import Asked, job, reply
from tests.controller.test_rollout import rollout as rolled_out
from tests.controller.test_tune import tuning as found_by_tune

WIDTHS = (40, 60, 80, 120, 200)
LONG = "the-box-behind-the-gym-00001"
JOB = "quantize-20260102-030405-12"
ASKED = Asked("", "jobs", {"id": "1"}, "", b"", 0, 1, retained=False)


@pytest.fixture(params=WIDTHS)
def screen(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Console:
    """A terminal of that width, which keeps what is printed."""
    made = Console(file=io.StringIO(), width=request.param, force_terminal=True, color_system=None, highlight=False)
    for module in (tables, rollout):
        monkeypatch.setattr(module, "console", lambda: made)
    return made


def printed(screen: Console) -> tuple[list[str], str]:
    """Lines, none of them too wide, and all that is printed without its breaks."""
    assert isinstance(screen.file, io.StringIO)
    lines = screen.file.getvalue().splitlines()
    assert all(len(line.rstrip()) <= screen.width for line in lines)
    assert "…" not in screen.file.getvalue()
    return lines, " ".join(screen.file.getvalue().split())


def complete(shown: str, headings: Sequence[str]) -> None:
    """Every heading stands in the table or among what is said to be missing."""
    for heading in headings:
        assert heading in shown.replace("latency ms p 50", "latency ms p50"), heading


def test_the_list(screen: Console) -> None:
    """The rate stays, as does every letter of the id."""
    agent = Agent(LONG, "online", samples.info(LONG), samples.state(LONG), samples.metrics(LONG))
    tables.print_fitting(tables.agents([agent]), tables.AGENTS_SPARED)
    lines, shown = printed(screen)
    assert "fps" in shown
    if screen.width >= 60:
        assert any(LONG in line for line in lines)
        complete(shown, [name.replace("_", " ") for name in agent.row()])


def test_a_table_with_room_is_as_rich_would_lay_it_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Letter by letter, colours included, and without having it do so, which takes it seconds for a thousand boxes."""
    found = [
        Agent("gym-1", "online", samples.info(), samples.state(), samples.metrics()),
        Agent("халл-2", "offline"),
        Agent("ホール", None, state=samples.state()),
    ]
    made = Console(width=200, force_terminal=True, color_system="standard", highlight=False, emoji=False)
    monkeypatch.setattr(tables, "console", lambda: made)
    table = tables.agents(found)
    table.rows[1].style = "bold"
    made.print(table)
    wanted = capsys.readouterr().out

    def never(*_: object) -> None:
        raise AssertionError("laid out by rich")

    monkeypatch.setattr(Table, "__rich_console__", never)
    tables.print_fitting(table, tables.AGENTS_SPARED)
    assert _seen(capsys.readouterr().out) == _seen(wanted)


def _seen(printed: str) -> list[list[Segment]]:
    """Each line as a terminal shows it: letter by letter with its style; blanks have none that is seen."""
    shown = []
    for line in AnsiDecoder().decode(printed):
        parts = line.render(Console(color_system="standard"), end="")
        letters = [Segment(each, None if each == " " else part.style) for part in parts for each in part.text]
        shown.append(letters)
    return shown


def test_the_jobs(screen: Console) -> None:
    """The id that `job` and `cancel` need stands on one line."""
    found = job(LONG).model_copy(update={"id": JOB})
    told: dict[str, JsonValue] = {"jobs": [found.model_dump(mode="json", by_alias=True)]}
    jobs.show_jobs([Outcome.of(reply(LONG, ASKED, result=told))], single=True)
    lines, shown = printed(screen)
    if screen.width >= 80:
        assert any(LONG in line and JOB in line for line in lines)
        complete(shown, ["command", "status", "step", "progress", "started", "finished"])


def test_into_a_file_lines_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal every line goes whole, however long, and nothing is left out."""
    found = job(LONG).model_copy(update={"id": JOB, "step": "x" * 200})
    told: dict[str, JsonValue] = {"jobs": [found.model_dump(mode="json", by_alias=True)]}
    jobs.show_jobs([Outcome.of(reply(LONG, ASKED, ReplyStatus.SUCCEEDED, result=told))], single=True)
    out = capsys.readouterr().out
    assert "x" * 200 in out
    assert "finished" in out
    assert "Not shown" not in out


def test_what_is_left_out_is_said(screen: Console) -> None:
    """Where columns go, a line names them."""
    tables.print_fitting(tables.agents([Agent(LONG, "online", state=samples.state(LONG))]), tables.AGENTS_SPARED)
    _lines, shown = printed(screen)
    assert ("Not shown, for want of width" in shown) is ("agent version" not in shown.split("Not shown")[0])


def test_what_is_said_to_be_left_out_was_there() -> None:
    """A table of other columns than usual loses those alone, from the right, and its ids last of all."""
    table = tables.rows([{"device_id": "hall", "cpu": "N100", "os": "Debian", "agent_version": "1"}])
    assert tables.spared(table) == ("agent version", "os", "cpu")


def test_what_is_watched_fits_and_says_how_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """A narrow terminal loses columns of `top` too and says how many, never a part of an id or the count of boxes."""
    monkeypatch.setattr(tables, "console", lambda: Console(width=30))
    long = "the-box-behind-the-gym-00001"
    table = tables.fitting(tables.rows([{"device_id": long, "os": "Debian GNU/Linux", "fps": 29.7}], of=7))
    assert [column.header for column in table.columns] == ["device id"]
    assert table.caption == "1 of 7; 2 columns not shown"


def test_a_roll_out_that_stopped(screen: Console) -> None:
    """Which box is left with what, and why: the reason is broken between lines, the id is not."""
    why = "failed: accuracy_failed: 9 of 127 people missed; calibrate with people"
    box = Box(device_id=LONG, verdict="failed", reason=why, undo="failed")
    rollout.show(rolled_out(phase="stopped", boxes={LONG: box}))
    lines, shown = printed(screen)
    complete(shown, ["device id", "verdict", "runs", "why", "rollout-1 stopped: failed 1"])
    if screen.width >= 60:
        assert any(LONG in line for line in lines)
        assert all(word in shown.split() for word in why.split())


def test_what_is_wrong_with_a_box(screen: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is a line for each value, a check that needs no cure has none for it."""
    monkeypatch.setattr(look_into, "console", lambda: screen)
    found = (
        Finding(name="camera", level="ok", finding="rtsp://camera.lan/stream/number/one/of/the/hall is live"),
        Finding(name="clock", level="fail", finding="1970-01-01 is in the past", cure="timedatectl set-ntp true"),
    )
    look_into.show_checks({LONG: CheckResult(checks=found)}, single=True)
    lines, shown = printed(screen)
    complete(shown, ["check", "finding", "cure"])
    if screen.width == 40:
        words = [line.split()[:1] for line in lines]
        assert [words.count([name]) for name in ("check", "finding", "cure")] == [2, 2, 1]


def test_an_event(screen: Console) -> None:
    """A line that is too long is broken between words."""
    events._show_line(samples.event(LONG))
    _lines, shown = printed(screen)
    assert shown.endswith(f"{LONG} warning camera.lost the camera does not answer")


def test_what_tune_has_found(screen: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where even the columns that stay are too many, each trial has a line for each of its figures, and all of them."""
    monkeypatch.setattr(tuning, "console", lambda: screen)
    tuning.show_tuning(found_by_tune())
    _lines, shown = printed(screen)
    complete(shown, ["network", "long", "side", "precision", "device", "hint", "quality", "invented", "FPS", "wish"])
    assert {"movenet-multipose", "rtmpose-s", "14.0", "winner", "frames", "second"} <= set(shown.split())
