"""Logging: one stream of events to stderr, coloured lines on a terminal, one JSON object a line everywhere else.

Events have stable dotted names and carry facts: ``log.warning("camera.lost", source=..., after_s=...)``. What libraries
say through :mod:`logging` and :mod:`warnings` goes into the same stream.
"""

import logging
import os
import sys
import time
from collections import deque
from collections.abc import Callable, MutableMapping
from typing import Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from agent.config import tree as config
from agent.redact import HIDDEN, redact
from agent.wire.commands import LOG_LINES_MAX

SECRET_KEYS: Final = frozenset({"password", "token", "secret"})
LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""Of a level, as syslog and the journal count."""
SPARING_LINES: Final = 20
KEPT_CHARACTERS: Final = 500
"""Of a line that is kept: a traceback has more, and its end says most."""
_kept: deque[str] = deque(maxlen=LOG_LINES_MAX)


def setup(log: config.Log) -> None:
    """Send structlog, logging and warnings to stderr, from ``log.level`` up. Call it once, before the first thread."""
    terminal = sys.stderr.isatty()
    as_console = log.format == "console" or (log.format == "auto" and terminal)
    render = _console(terminal) if as_console else structlog.processors.JSONRenderer(ensure_ascii=False)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            hide_secrets,
            _keep,
            _with_priority(render) if _is_journal() else render,
        ],
    )
    # The handler's lock keeps lines whole when several threads log.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=LEVELS[log.level], force=True)
    # It tells each request with all that follows its host: of a camera, what nobody else is to know.
    logging.getLogger("urllib3").setLevel(max(logging.INFO, LEVELS[log.level]))
    logging.captureWarnings(True)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        # A level that is off is a method that does nothing.
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[log.level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


def recent(lines: int) -> tuple[str, ...]:
    """So many of the last lines since :func:`setup`, the newest last, without passwords and accounts."""
    kept = tuple(_kept.copy())  # other threads add to it
    return kept[-lines:]


def _keep(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Remember an event as a line for whoever asks from afar; what is secret is hidden by now."""
    facts = {key: value for key, value in event.items() if key not in {"timestamp", "level", "event"}}
    told = "".join(f" {key}={_plain(value)}" for key, value in facts.items())
    line = f"{event.get('timestamp', '')} {event.get('level', '')} {_plain(event.get('event', ''))}{told}"
    cut = len(line) - KEPT_CHARACTERS
    _kept.append(line if cut <= 0 else f"{line[: KEPT_CHARACTERS // 2]} ... {line[cut + KEPT_CHARACTERS // 2 :]}")
    return event


def _plain(value: object) -> str:
    """A value on one line."""
    return " | ".join(str(value).splitlines())


def set_level(log: config.Log) -> None:
    """Log from ``log.level`` up from now on; what was set up otherwise stays."""
    logging.getLogger().setLevel(LEVELS[log.level])
    logging.getLogger("urllib3").setLevel(max(logging.INFO, LEVELS[log.level]))
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(LEVELS[log.level]))


class Sparing:
    """Logs at most ``SPARING_LINES`` events a second, for what others can cause as often as they like.

    The first line after that says how many were ``left_out``. One thread calls it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._log = structlog.get_logger()
        self._second = clock()
        self._lines = 0

    def info(self, event: str, **facts: object) -> None:
        """Log, or count."""
        now = self._clock()
        left_out = 0
        if now - self._second >= 1.0:
            left_out = max(0, self._lines - SPARING_LINES)
            self._second, self._lines = now, 0
        self._lines += 1
        if self._lines <= SPARING_LINES:
            self._log.info(event, **facts, **({"left_out": left_out} if left_out else {}))


def hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace passwords: values under a secret key at any depth, user information in any URL."""
    return {key: _hidden(key, value) for key, value in event.items()}


def _hidden(key: object, value: object) -> object:
    if str(key).lower() in SECRET_KEYS and value is not None:
        return HIDDEN
    match value:
        case str():
            return redact(value)
        case MutableMapping():
            return {inner: _hidden(inner, item) for inner, item in value.items()}
        case list() | tuple():
            return [_hidden("", item) for item in value]
        case bool() | int() | float() | None:
            return value
        case _:  # a path or an exception is shown by its text, which may be an address
            return redact(str(value))


def _is_journal() -> bool:
    """Whether systemd reads stderr into the journal: it says which stream it means, as others may lie between."""
    told = os.environ.get("JOURNAL_STREAM")
    if told is None:
        return False
    stream = os.fstat(2)
    return told == f"{stream.st_dev}:{stream.st_ino}"


def _with_priority(render: Processor) -> Processor:
    def rendered(logger: WrappedLogger, method: str, event: EventDict) -> str:
        priority = PRIORITIES.get(event["level"], PRIORITIES["info"])  # a library may have levels of its own
        return f"<{priority}>{render(logger, method, event)!s}"

    return rendered


def _console(terminal: bool) -> Processor:
    return structlog.dev.ConsoleRenderer(
        colors=terminal and "NO_COLOR" not in os.environ, exception_formatter=structlog.dev.plain_traceback
    )
