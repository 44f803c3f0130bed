"""Files that are the old or the new ones, whole, whenever the power goes: what every program of ours writes."""

import os
from contextlib import suppress
from pathlib import Path


def replace_file(path: Path, content: bytes, *, private: bool = False) -> None:
    """Replace a file; its content is on the disk when this returns.

    Written aside in the same folder, forced onto the disk, renamed, and the folder forced onto the disk. ``private``
    has it readable for its owner alone, in folders that are made for it and are so too. Raises OSError, and then the
    file is as it was, unless it is the folder that could not be forced onto the disk.
    """
    folder = path.parent
    if private and not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync(folder.parent)
    written = aside(path)
    try:
        descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600 if private else 0o666)
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)
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


def sync(path: Path) -> None:
    """Force a file or folder onto the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
