"""Files already at hand (``--from``): a folder, a file, or an archive that holds them."""

from collections.abc import Generator, Iterator
from functools import partial
from io import FileIO
from pathlib import Path, PurePosixPath

from agent.errors import FetchError
from models.getting.download import take_first
from models.getting.packages import UnreadableError, members, pieces, split
from models.shelf.catalogue import File

_ARCHIVES = (".tgz", ".tar", ".tar.gz", ".deb", ".zip", ".whl")


def take(file: File, origin: Path, done: Path) -> Path:
    """Copy ``file`` from ``origin`` to ``done``. Raises FetchError when nothing there has its name and checksum."""
    if not origin.exists():
        raise FetchError(f"{origin} does not exist")
    differing, unreadable = 0, list[str]()
    for found in _places(file, origin):
        try:
            if take_first(file, found, done.with_suffix(".part"), done):
                return done
        except UnreadableError as error:
            unreadable.append(str(error))
        except FetchError:
            differing += 1
    wanted = f"{file.name} with {file.algorithm} {file.checksum[:12]}…"
    reasons = ([f"{differing} of that name differ"] if differing else []) + unreadable[:1]
    raise FetchError(f"{origin} holds no {wanted}: {'; '.join(reasons) or 'nothing there has that name'}")


def _places(file: File, origin: Path) -> Iterator[Iterator[Generator[bytes, None, None]]]:
    """Yield for each file and archive at ``origin`` what has the name of ``file`` there, in pieces."""
    # An archive may know it by another name than ours: that its sources name.
    inside = {PurePosixPath(split(source)[1]).name for source in file.sources if split(source)[1]}
    name = PurePosixPath(file.name).name
    paths = [path for path in sorted(origin.rglob("*")) if path.is_file()] if origin.is_dir() else [origin]
    for path in paths:
        if path.name == name:
            yield iter([pieces(path, partial(FileIO, path))])
    for path in paths:
        if path.name.lower().endswith(_ARCHIVES):
            yield (content for member, content in members(path) if PurePosixPath(member).name in {name, *inside})
