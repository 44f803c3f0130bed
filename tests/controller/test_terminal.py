"""What a command makes of the wish to end it."""

import signal
import sys
import time
from collections.abc import Callable
from typing import Annotated

import pytest
from pydantic import BaseModel, PlainSerializer
from pydantic_core import PydanticSerializationError

from controller.client.address import Address
from controller.client.connection import Client
from controller.interrupt import UntilEnded
from tests.broker import Broker

STOPPING = [signal.SIGINT, signal.SIGTERM]
GIVE_UP_S = 10


def strike(number: signal.Signals) -> None:
    """Let the signal come, and wait until it has: where another thread runs just then, Python looks at it later."""
    signal.raise_signal(number)
    give_up_s = time.monotonic() + GIVE_UP_S
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
    went_on = False
    with UntilEnded() as ended:
        strike(number)
        went_on = True
    assert ended.asked
    assert not went_on


@pytest.mark.parametrize("number", STOPPING)
def test_whatever_a_library_makes_of_it(number: signal.Signals) -> None:
    """A signal that a library turns into an error of its own is the end all the same."""
    went_on = False
    with UntilEnded() as ended:
        struck(number).model_dump(mode="json")
        went_on = True
    assert ended.asked
    assert not went_on
    with UntilEnded() as ended, pytest.raises(PydanticSerializationError, match="KeyboardInterrupt"):
        struck(number).model_dump(mode="json")


class Swallower:
    """What Python looks at last: an exception out of here is printed and forgotten."""

    def __init__(self, number: signal.Signals) -> None:
        self._number = number

    def __del__(self) -> None:
        strike(self._number)


WAITS: dict[str, Callable[[Client], object]] = {
    "messages": lambda client: list(client.messages(time.monotonic() + GIVE_UP_S)),
    "idle": lambda client: client.idle(time.monotonic() + GIVE_UP_S),
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_an_exception_that_a_finalizer_swallows(
    wait: Callable[[Client], object], broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal amid a finalizer ends what is followed with the next wait: a client that was lost has a finalizer."""
    went_on, swallowed = False, list[object]()
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: swallowed.append(unraisable.exc_type))
    with Client(Address("127.0.0.1", broker.port), timeout_s=60) as client, UntilEnded() as ended:
        last = Swallower(signal.SIGINT)
        del last
        assert swallowed == [KeyboardInterrupt]
        wait(client)
        went_on = True
    assert ended.asked
    assert not went_on


def test_an_error_of_its_own_comes_out() -> None:
    """Without a signal the block's error is nobody's wish to end; signals mean afterwards what they did before."""
    before = [signal.getsignal(number) for number in STOPPING]
    with pytest.raises(ValueError, match="broken"), UntilEnded() as ended:
        raise ValueError("broken")
    assert not ended.asked
    assert [signal.getsignal(number) for number in STOPPING] == before
