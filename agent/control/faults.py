"""Errors of the agent as what a reply says."""

from datetime import datetime

import structlog

from agent.control.events import Failed
from agent.control.journal import Attempt
from agent.errors import AccuracyError, CancelledError, EdgeposeError, TooSlowError, TrialError
from agent.redact import redact
from agent.wire.commands import CommandError, ErrorCode, Reply, ReplyError, ReplyStatus

log = structlog.get_logger()


def failed(number: int, error: Exception) -> Failed:
    """How work ends that ended with ``error``: an unknown one is a defect, and its traceback is logged."""
    if isinstance(error, CancelledError):
        return Failed(number, ReplyStatus.CANCELLED, CommandError(ErrorCode.CANCELLED, str(error), error.hint))
    return Failed(number, ReplyStatus.FAILED, _command_error(error))


def _command_error(error: Exception) -> CommandError:
    match error:
        case CommandError():
            return error
        case AccuracyError():
            return CommandError(ErrorCode.ACCURACY_FAILED, str(error), error.hint)
        case TooSlowError():
            return CommandError(ErrorCode.TOO_SLOW, str(error), error.hint)
        case TrialError():
            return CommandError(ErrorCode.TRIAL_FAILED, str(error), error.hint)
        case EdgeposeError():
            return CommandError(ErrorCode.COMPILE_FAILED, str(error), error.hint)
        case _:
            log.error("control.crashed", exc_info=error)
            told = redact(f"{type(error).__name__}: {error}")
            return CommandError(ErrorCode.INTERNAL, told, "this is a defect: see the log")


def overdue(limit_s: float) -> CommandError:
    """Work took longer than its limit."""
    return CommandError(
        ErrorCode.COMPILE_FAILED,
        f"not built and checked within {limit_s:g} s (switch.timeout_s): the old engine goes on",
        "allow more time in the configuration, or choose a device that compiles faster",
    )


def orphaned(orphan: Attempt, device_id: str, version: int, now: datetime) -> bytes:
    """The reply to a command during which the process before this one ended."""
    return Reply(
        device_id=device_id,
        sent_at=now,
        id=orphan.id,
        command=orphan.command,
        status=ReplyStatus.FAILED,
        error=ReplyError(
            code=ErrorCode.INTERNAL,
            message="the agent ended while it carried this out; what ran before runs again",
            hint="its log says why it ended",
        ),
        state_version=version,
    ).encode()
