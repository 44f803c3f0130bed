"""Files a command writes: none is replaced unasked, and none is ever half written."""

from collections.abc import Sequence
from pathlib import Path

from agent.durable import replace_file
from controller.errors import ControllerError, UsageError


def require_new(path: Path, suffixes: Sequence[str], *, force: bool) -> None:
    """Raise :class:`UsageError` for a file that has none of the endings, or that is there and is not to be replaced."""
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"{path}: expected a file ending in {suffixes[0]}")
    if path.exists() and not force:
        raise UsageError(f"{path} exists", hint="replace it with --force")


def write(path: Path, content: bytes) -> None:
    """Write a file, in folders that are made for it. Raises :class:`ControllerError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content)
    except OSError as error:
        raise ControllerError(f"{path} cannot be written: {error.strerror}") from error
