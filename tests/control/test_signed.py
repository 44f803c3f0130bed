"""The sequence of a signed command counts once, whatever comes of the command."""

from dataclasses import replace
from datetime import timedelta
from itertools import product
from pathlib import Path

from agent.control import events, journal
from agent.control.events import Effect, Save, Send
from agent.control.journal import Journal
from agent.control.machine import step
from agent.control.state import Phase, State
from agent.wire.commands import ErrorCode, Proof, Reply, ReplyStatus
from tests.control.conversation import BOX, ERROR, NOW, command, first_state

KEY = "0123456789abcdef"
PLAIN = ("describe", "unset", "get", "check", "logs")
"""Those that need no argument, and may be asked at any time."""
READY = replace(first_state(), phase=Phase.READY)


def asked(
    state: State, name: str, command_id: str, sequence: int, value: str | None = None
) -> tuple[State, list[Effect]]:
    """Have a signed command come."""
    signed = command(name, command_id, value, proof=Proof(KEY, sequence))
    after, effects = step(state, events.Asked(signed), BOX, NOW)
    return after, list(effects)


def codes(effects: list[Effect]) -> list[ErrorCode | None]:
    """How the replies say it ended."""
    replies = [Reply.decode(effect.payload) for effect in effects if isinstance(effect, Send)]
    return [reply.error.code if reply.error else None for reply in replies]


def test_it_is_kept_before_the_command_is_obeyed() -> None:
    """The first effect of a signed command writes its sequence down; only then anything is done."""
    for name, value in (*((each, None) for each in PLAIN), ("set-device", "SIMCPU")):
        state, effects = asked(READY, name, "a", 5, value)
        assert isinstance(effects[0], Save)
        assert effects[0].record.sequences == state.record.sequences == {KEY: 5}
        assert len(effects) > 1


def test_a_lower_one_is_refused() -> None:
    """Under the same key the same sequence, or a lower one, is not obeyed, and nothing is written."""
    state, _ = asked(READY, "pause", "a", 5)
    for name, sequence in product(("resume", "restart", *PLAIN), (5, 4, 1)):
        after, effects = asked(state, name, f"{name}{sequence}", sequence)
        assert codes(effects) == [ErrorCode.UNTRUSTED]
        assert after.record == state.record
        assert not [effect for effect in effects if isinstance(effect, Save)]


def test_every_key_has_its_own() -> None:
    """Two who sign need not agree on a clock."""
    state, _ = asked(READY, "pause", "a", 5)
    other = command("resume", "b", proof=Proof("another", 1))
    after, effects = step(state, events.Asked(other), BOX, NOW)
    assert codes(list(effects)) == [None]
    assert after.record.sequences == {KEY: 5, "another": 1}


def test_one_that_is_refused_counts_too() -> None:
    """A command told `busy` or `version_conflict` cannot be sent again by somebody else when its time has come."""
    signed = command("pause", "a", if_version=9, proof=Proof(KEY, 5))
    state, effects = step(READY, events.Asked(signed), BOX, NOW)
    assert codes(list(effects)) == [ErrorCode.VERSION_CONFLICT]
    assert state.record.sequences == {KEY: 5}


def test_one_that_waits_is_done_when_its_turn_comes() -> None:
    """A signed command waits behind another as any does, though higher sequences came meanwhile."""
    state, _ = asked(READY, "set-device", "a", 5, "SIMCPU")
    state, _ = asked(state, "pause", "b", 6)
    state, _ = asked(state, "describe", "c", 7)
    failed = events.Failed(state.works, ReplyStatus.FAILED, ERROR)
    state, effects_after = step(state, failed, BOX, NOW)
    assert state.record.settings.paused
    assert codes(list(effects_after)) == [ErrorCode.TRIAL_FAILED, None]
    assert state.record.sequences == {KEY: 7}


def test_a_repeated_id_is_answered_again_and_counts() -> None:
    """The same message twice, as QoS 1 may bring it, gets the same reply; the id under a new sequence uses that up."""
    state, first = asked(READY, "pause", "a", 5)
    state, again = asked(state, "pause", "a", 5)
    assert [effect for effect in first if isinstance(effect, Send)] == again
    state, later = asked(state, "pause", "a", 6)
    assert codes(later) == [None]
    assert state.record.sequences == {KEY: 6}


def test_it_survives_a_restart(tmp_path: Path) -> None:
    """The file keeps the highest sequence of each key, through a new start and an edited configuration."""
    state, _ = asked(READY, "pause", "a", 5)
    book = Journal(tmp_path / "record.json")
    book.save(state.record)
    edited = state.record.base.model_copy(update={"device": "SIMCPU"})
    for base in (state.record.base, edited):
        assert journal.boot(book.load(), base, NOW + timedelta(hours=1)).record.sequences == {KEY: 5}


def test_without_signatures_the_file_is_as_before(tmp_path: Path) -> None:
    """A record without sequences is written without the field: an older version reads it."""
    book = Journal(tmp_path / "record.json")
    book.save(READY.record)
    assert b"sequences" not in book.path.read_bytes()
    assert book.load() == READY.record
