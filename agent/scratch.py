"""Folders for a while: where none can be made, that is told in words."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.errors import EdgeposeError


@contextmanager
def scratch(purpose: str) -> Iterator[Path]:
    """A folder for a while, gone afterwards with what is in it. Raises EdgeposeError where none can be made."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="edgepose-", ignore_cleanup_errors=True)
    except OSError as error:
        why = error.strerror or error
        hint = "make room on the disk, or name a folder that has some: TMPDIR=/there"
        raise EdgeposeError(f"no temporary folder can be made for {purpose}: {why}", hint=hint) from error
    with folder as name:
        yield Path(name)
