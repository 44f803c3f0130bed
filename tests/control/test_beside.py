"""What a program says beside the agent reaches whoever asked for it."""

import sys
import threading

import pytest

from agent.control.beside import Beside
from agent.errors import EdgeposeError


def test_what_the_program_says_was_wrong_is_told() -> None:
    """Its words and its cure, not only that it ended: whoever asked is far from the box's log."""
    with pytest.raises(EdgeposeError, match=r"^there is no network or clip called 'nobody'$") as told:
        Beside("models fetch", 600).run(
            [sys.executable, "-m", "models.cli", "fetch", "nobody", "--json"],
            lambda *_: None,
            threading.Event(),
            hint="what is said where it names none",
        )
    assert told.value.hint is not None
    assert told.value.hint.startswith("known: ")


def test_one_that_ends_without_a_word_is_told_by_its_end() -> None:
    """The code it ended with, and the cure of whoever started it."""
    with pytest.raises(EdgeposeError, match=r"^models fetch ended with 3$") as told:
        Beside("models fetch", 600).run(
            [sys.executable, "-c", "raise SystemExit(3)"], lambda *_: None, threading.Event(), hint="look at the box"
        )
    assert told.value.hint == "look at the box"
