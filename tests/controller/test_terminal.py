"""What a command makes of the wish to end it."""

import signal
import time
from typing import Annotated

import pytest
from pydantic import BaseModel, PlainSerializer
from pydantic_core import PydanticSerializationError

from controller.terminal.surroundings import UntilEnded

STOPPING = [signal.SIGINT, signal.SIGTERM]


def strike(number: signal.Signals) -> None:
    """Let the signal come, and wait until it has: where another thread runs just then, Python looks at it later."""
    signal.raise_signal(number)
    give_up_s = time.monotonic() + 10
    while time.monotonic() < give_up_s:
        time.sleep(0.001)


def struck(number: signal.Signals) -> BaseModel:
    """A message amid whose serializer the signal comes."""

    class Message(BaseModel):
        sent_at: Annotated[int, PlainSerializer(lambda _value: strike(number))]

    return Message(sent_at=0)


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_ends_the_block(number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end the block without an error, and it is told that one came."""
    with UntilEnded() as ended:
        strike(number)
        pytest.fail("the block goes on")
    assert ended.asked


@pytest.mark.parametrize("number", STOPPING)
def test_whatever_a_library_makes_of_it(number: signal.Signals) -> None:
    """A signal that a library turns into an error of its own is the end all the same."""
    with UntilEnded() as ended:
        struck(number).model_dump(mode="json")
        pytest.fail("the block goes on")
    assert ended.asked
    with UntilEnded() as ended, pytest.raises(PydanticSerializationError, match="KeyboardInterrupt"):
        struck(number).model_dump(mode="json")


def test_an_error_of_its_own_comes_out() -> None:
    """Without a signal the block's error is nobody's wish to end; signals mean afterwards what they did before."""
    before = [signal.getsignal(number) for number in STOPPING]
    with pytest.raises(ValueError, match="broken"), UntilEnded() as ended:
        raise ValueError("broken")
    assert not ended.asked
    assert [signal.getsignal(number) for number in STOPPING] == before
