"""Niceness while an engine is built, and afterwards."""

import os
import threading

import pytest

from agent.control.courtesy import BEHIND, behind


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_threads_made_meanwhile_are_as_the_others_at_the_end() -> None:
    """Who builds runs behind the others, and so do the threads it makes; afterwards all are equal again."""
    if os.geteuid() != 0:
        pytest.skip("only root may raise a priority again")
    seen: dict[str, int] = {}
    made, over = threading.Event(), threading.Event()

    def made_meanwhile() -> None:
        seen["made, meanwhile"] = niceness()
        made.set()
        over.wait(10)
        seen["made, afterwards"] = niceness()

    def build() -> None:
        with behind():
            seen["builder"] = niceness()
            thread = threading.Thread(target=made_meanwhile)
            thread.start()
            made.wait(10)
        seen["builder, afterwards"] = niceness()
        over.set()
        thread.join(10)

    before = niceness()
    builder = threading.Thread(target=build)
    builder.start()
    builder.join(20)
    lowered = min(before + BEHIND, 19)
    assert (seen["builder"], seen["made, meanwhile"]) == (lowered, lowered)
    assert (seen["builder, afterwards"], seen["made, afterwards"]) == (before, before)
    assert niceness() == before


def test_who_could_not_undo_it_does_not_do_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the right to raise a priority again nothing is lowered."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("resource.getrlimit", lambda _what: (0, 0))
    before = niceness()
    with behind():
        assert niceness() == before
