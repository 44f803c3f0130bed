"""Files that are the old or the new ones whenever the power goes."""

import os
from contextlib import suppress
from pathlib import Path

from models.shelf.store import sync


def replace_file(path: Path, document: bytes) -> None:
    """Replace a file; the document is on the disk when this returns, readable for its owner alone.

    Written aside in the same folder, forced onto the disk, renamed, and the folder forced onto the disk. Raises
    OSError, and then the file is as it was, unless it is the folder that could not be forced onto the disk.
    """
    folder = path.parent
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync(folder.parent)
    written = aside(path)
    try:
        descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(document)
            handle.flush()
            os.fsync(descriptor)
        written.replace(path)
    except OSError:
        with suppress(OSError):
            written.unlink()
        raise
    sync(folder)


def aside(path: Path) -> Path:
    """Where a file is written before it takes its place; what a crash left there means nothing."""
    return path.with_name(f".{path.name}.new")
