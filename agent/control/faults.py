"""Errors of the agent as what a reply says."""

import structlog

from agent.control.events import Failed
from agent.errors import AccuracyError, CancelledError, EdgeposeError, TrialError
from agent.wire.commands import CommandError, ErrorCode, ReplyStatus

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
        case TrialError():
            return CommandError(ErrorCode.TRIAL_FAILED, str(error), error.hint)
        case EdgeposeError():
            return CommandError(ErrorCode.COMPILE_FAILED, str(error), error.hint)
        case _:
            log.error("control.crashed", exc_info=error)
            return CommandError(ErrorCode.INTERNAL, f"{type(error).__name__}: {error}", "this is a defect: see the log")
