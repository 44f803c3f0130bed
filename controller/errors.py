"""Errors a person is meant to read, each with the exit code it leads to."""

from typing import ClassVar


class ControllerError(Exception):
    """Base: something failed. ``hint`` says what to do about it."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(ControllerError):
    """What was asked for cannot be meant."""

    exit_code = 2


class NoAnswerError(ControllerError):
    """The device is not there, or has not said in time what was asked for."""

    exit_code = 3


class BrokerUnreachableError(ControllerError):
    """The broker cannot be reached, or refuses us."""

    exit_code = 5
