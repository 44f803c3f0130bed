"""Files already at hand (``--from``): a folder, a file, or an archive that holds them."""

import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from agent.errors import FetchError
from models.getting.download import accept
from models.getting.packages import members, split
from models.shelf.catalogue import File

_ARCHIVES = (".tgz", ".tar", ".tar.gz", ".deb", ".zip", ".whl")


def take(file: File, origin: Path, done: Path) -> Path:
    """Copy ``file`` from ``origin`` to ``done``. Raises FetchError when nothing there has its name and checksum."""
    if not origin.exists():
        raise FetchError(f"{origin} does not exist")
    part = done.with_suffix(".part")
    differing = 0
    for content in _candidates(file, origin):
        with part.open("wb") as handle:
            shutil.copyfileobj(content, handle)
        try:
            accept(file, part, done)
        except FetchError:
            differing += 1
            continue
        return done
    wanted = f"{file.name} with {file.algorithm} {file.checksum[:12]}…"
    found = f"{differing} of that name differ" if differing else "nothing there has that name"
    raise FetchError(f"{origin} holds no {wanted}: {found}")


def _candidates(file: File, origin: Path) -> Iterator[IO[bytes]]:
    # An archive may know it by another name than ours: that its sources name.
    inside = {PurePosixPath(split(source)[1]).name for source in file.sources if split(source)[1]}
    name = PurePosixPath(file.name).name
    paths = [path for path in sorted(origin.rglob("*")) if path.is_file()] if origin.is_dir() else [origin]
    for path in paths:
        if path.name == name:
            with path.open("rb") as handle:
                yield handle
    for path in paths:
        if path.name.endswith(_ARCHIVES):
            yield from (content for member, content in members(path) if PurePosixPath(member).name in {name, *inside})
