"""The log: one stream, whole lines, no passwords."""

import json
import subprocess
import sys
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from structlog.typing import EventDict

from agent.observe.logs import SPARING_LINES, Sparing, hide_secrets
from agent.redact import redact

PREAMBLE = """
import logging, sys, threading, warnings
import structlog
from agent.config import tree as config
from agent.observe.logs import setup
setup(config.Log(level=sys.argv[1], format=sys.argv[2]))
log = structlog.get_logger()
"""


def run(code: str, level: str = "info", form: str = "auto") -> list[str]:
    """Lines a process of its own writes to stderr, which is no terminal here; its stdout must stay empty."""
    command = [sys.executable, "-c", PREAMBLE + textwrap.dedent(code), level, form]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_away_from_a_terminal_every_line_is_one_json_object() -> None:
    """Events, what libraries log, warnings and tracebacks all come as JSON objects with level and time."""
    lines = run(
        """
        log.warning("camera.lost", source="/dev/video0", after_s=2.5)
        logging.getLogger("library").warning("hello %s", "there")
        warnings.warn("old")
        try:
            1 / 0
        except ZeroDivisionError:
            log.exception("engine.failed")
        """
    )
    records = [json.loads(line) for line in lines]
    assert all({"event", "level", "timestamp"} <= record.keys() for record in records)
    lost, library, warning, failed = records
    assert (lost["event"], lost["level"], lost["after_s"]) == ("camera.lost", "warning", 2.5)
    assert (library["event"], library["logger"]) == ("hello there", "library")
    assert "UserWarning: old" in warning["event"]
    assert "ZeroDivisionError" in failed["exception"]


def test_what_others_cause_is_logged_sparingly() -> None:
    """Of a flood the first lines of each second are logged; the next line says how many were left out."""
    now = 0.0
    log = Sparing(lambda: now)
    with capture_logs() as lines:
        for number in range(SPARING_LINES + 3):
            log.info("command.refused", number=number)
        now = 1.0
        log.info("command.refused", number=-1)
        now = 2.0
        log.info("command.refused", number=-2)
    assert [line["number"] for line in lines] == [*range(SPARING_LINES), -1, -2]
    assert [line.get("left_out") for line in lines[-3:]] == [None, 3, None]


def test_console_lines_are_for_people_and_uncoloured_in_a_file() -> None:
    """The console form is readable text, without colour codes where no terminal shows them."""
    (line,) = run('log.info("camera.back", after_s=1)', form="console")
    assert "camera.back" in line
    assert "after_s=1" in line
    assert "\x1b" not in line


def test_the_journal_gets_the_priority_of_each_line() -> None:
    """Where systemd reads stderr a line begins with its level as the journal counts; on another stream it does not."""
    journal = """
        import os
        stream = os.fstat(2)
        os.environ["JOURNAL_STREAM"] = f"{stream.st_dev}:{stream.st_ino + OTHER}"
        setup(config.Log())
        log.info("a.b")
        log.warning("c.d")
        logging.getLogger("library").error("e")
        logging.getLogger("library").critical("f")
    """
    assert [line[:4] for line in run(journal.replace("OTHER", "0"))] == ["<6>{", "<4>{", "<3>{", "<2>{"]
    assert {line[0] for line in run(journal.replace("OTHER", "1"))} == {"{"}


def test_level_holds_for_events_and_libraries() -> None:
    """What is below the level is not written, whoever says it."""
    lines = run('log.info("a.b"); logging.getLogger("x").info("c"); log.warning("d.e")', level="warning")
    assert [json.loads(line)["event"] for line in lines] == ["d.e"]


def test_lines_of_many_threads_stay_whole() -> None:
    """Threads that log at once never mix their lines."""
    lines = run(
        """
        def talk(n):
            for k in range(50):
                log.info("thread.talks", n=n, k=k, filler="x" * 2000)
        threads = [threading.Thread(target=talk, args=(n,)) for n in range(8)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        """
    )
    assert sorted((r["n"], r["k"]) for r in map(json.loads, lines)) == [(n, k) for n in range(8) for k in range(50)]


def test_passwords_are_hidden_wherever_they_stand() -> None:
    """A password is written neither as a fact, nor in an address, a nested fact, a library's words or a traceback."""
    lines = run(
        """
        from pathlib import PurePath
        address = "rtsp://user:geheim@camera.lan/1"
        log.info("a.b", password="geheim", Token="geheim", source=address, path=PurePath(address))
        log.info("c.d", facts={"list": [address], "password": "geheim"}, error=ValueError(address))
        logging.getLogger("library").warning("opening %s", address)
        try:
            raise OSError(address)
        except OSError:
            log.exception("e.f")
        """
    )
    assert len(lines) == 4
    assert "geheim" not in "".join(lines)
    assert json.loads(lines[0])["source"] == "rtsp://***@camera.lan/1"


@pytest.mark.parametrize("value", [None, True, 3, 2.5])
def test_facts_that_are_no_secret_keep_their_type(value: object) -> None:
    """Numbers stay numbers, so that logs can be searched by them."""
    event: EventDict = {"event": "a.b", "fact": value}
    assert hide_secrets(None, "info", event) == event


@given(st.text(alphabet=st.characters(exclude_categories=["Z", "C"]), min_size=1))
def test_redact_leaves_nothing_of_an_account(account: str) -> None:
    """Everything before the last @ of an address goes, whatever characters a password is made of."""
    assert redact(f"opening rtsp://{account}@camera.lan/1 failed") == "opening rtsp://***@camera.lan/1 failed"


def test_redact_hides_the_query_of_an_address() -> None:
    """An account in the query, as many cameras take it, goes too."""
    assert redact("http://camera.lan/video?user=me&pwd=geheim: refused") == "http://camera.lan/video?*** refused"
    assert redact("rtsp://a:b@camera.lan/1?c=d e?f") == "rtsp://***@camera.lan/1?*** e?f"


def test_redact_leaves_text_without_user_information_alone() -> None:
    """Addresses without an account and plain words stay as they are."""
    for text in ("rtsp://camera.lan/1", "mail me@home", "", "a://b c@d"):
        assert redact(text) == text
