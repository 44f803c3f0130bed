"""Ctrl-C and SIGTERM, where they end what is being followed and not the program."""

import signal
from typing import Any, ClassVar, Final, Self

INTERRUPTED: Final = 130
"""The exit code after Ctrl-C."""


class UntilEnded:
    """A block that Ctrl-C or SIGTERM ends early, as a context manager; ``asked`` tells whether one of them did.

    The signal raises KeyboardInterrupt wherever the block is, and a library may make an error of its own of that, as
    pydantic does where it strikes amid a serializer. So whatever the block raises once it was asked to end is its end.
    It may also strike amid a finalizer, whose exceptions Python prints and forgets: then the next wait ends the block.
    """

    _innermost: ClassVar["UntilEnded | None"] = None

    def __init__(self) -> None:
        self.asked = False
        self._around: UntilEnded | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._around, UntilEnded._innermost = UntilEnded._innermost, self
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> bool:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        UntilEnded._innermost = self._around
        return self.asked

    def _ask(self, *_: object) -> None:
        self.asked = True
        raise KeyboardInterrupt


def end_if_asked() -> None:
    """Before every wait that may be a long one: raise what a finalizer has swallowed."""
    innermost = UntilEnded._innermost
    if innermost is not None and innermost.asked:
        raise KeyboardInterrupt
