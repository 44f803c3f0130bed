"""The cache folder: installed networks and clips, each a folder with a manifest of digests.

<folder>/<name>/manifest.json      written last, so a folder without one is not installed
<folder>/<name>/FP32/<name>.xml    a variant, its .bin beside it
<folder>/<name>/card.toml          the card of a network of the user's own
<folder>/.building/                what is being installed, moved to its place when complete
<folder>/.downloads/               what a broken download can resume from
<folder>/.locks/                   one fetch of a name at a time, across processes
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from platformdirs import PlatformDirs
from pydantic import AwareDatetime, Field, ValidationError

from agent.errors import ModelError
from models import catalogue
from models.catalogue import PRECISIONS, Card, NetworkCard, Part, Precision

MANIFEST = "manifest.json"
ORIGINAL = "original.pb"
WHOLE = "whole.pb"
GOLDEN = "golden.npz"
CARD = "card.toml"


def models_dir() -> Path:
    """Where networks and clips are kept: systemd's state directory, else the user's cache (XDG)."""
    if state := os.environ.get("STATE_DIRECTORY"):
        return Path(state.split(":")[0]) / "models"
    return Path(PlatformDirs("edgepose", appauthor=False).user_cache_dir) / "models"


class FileDigest(Part):
    """What an installed file must be."""

    size: int
    sha256: str


class Manifest(Part):
    """What was installed, from what, by what."""

    # Raised when the same sources would be converted to something else: older entries are then made again.
    layout: Literal[1] = 1
    name: str
    licence: str
    origin: str
    sources: dict[str, str]
    """Checksum of each downloaded file."""
    files: dict[str, FileDigest]
    """Every installed file, by path below the entry's folder."""
    variants: dict[Precision, str] = Field(default_factory=dict)
    """The .xml of each precision, by path below the entry's folder."""
    clip: str | None = None
    openvino_version: str | None = None
    edgepose_version: str
    created_at: AwareDatetime


class Store:
    """The installed networks and clips below one folder. Every lookup that finds nothing raises ModelError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> tuple[str, ...]:
        """List what is installed."""
        return tuple(sorted(path.parent.name for path in self.folder.glob(f"[!.]*/{MANIFEST}")))

    def own(self) -> tuple[str, ...]:
        """List the networks of the user's own."""
        return tuple(sorted(path.parent.name for path in self.folder.glob(f"[!.]*/{CARD}")))

    def card(self, name: str) -> NetworkCard:
        """Return the card of a network: the user's own, or the catalogue's. Raises ModelError for an unknown name."""
        if name not in (own := self.own()):
            return catalogue.network(name, own)
        path = self.folder / name / CARD
        try:
            card = catalogue.parse(path.read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(f"{path} cannot be read: {error}", hint=f"models add the card of {name} again") from error
        if not isinstance(card, NetworkCard) or card.name != name:
            raise ModelError(f"{path} is not the card of {name}", hint=f"models add the card of {name} again")
        return card

    def network(self, name: str) -> Path:
        """Return the folder of an installed network or clip."""
        self.manifest(name)
        return self.folder / name

    def manifest(self, name: str) -> Manifest:
        """Read the manifest of an installed network or clip."""
        path = self.folder / name / MANIFEST
        try:
            return Manifest.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise ModelError(f"{name} is not in {self.folder}", hint=f"models fetch {name}") from None
        except (OSError, ValidationError) as error:
            raise ModelError(f"{path} cannot be read: {_first_line(error)}", hint=f"models fetch {name}") from error

    def precisions(self, name: str) -> tuple[Precision, ...]:
        """Precisions that are present, FP32 first."""
        variants = self.manifest(name).variants
        return tuple(precision for precision in PRECISIONS if precision in variants)

    def variant(self, name: str, precision: Precision) -> Path:
        """Return the IR .xml of one precision."""
        manifest = self.manifest(name)
        if precision not in manifest.variants:
            present = ", ".join(self.precisions(name)) or "none: it is no network"
            raise ModelError(f"{name} has no {precision} variant here", hint=f"present: {present}")
        return self._file(name, manifest.variants[precision])

    def original(self, name: str) -> Path:
        """Return the frozen TensorFlow graph with the variants' outputs, as OpenCV's DNN module reads it."""
        return self._file(name, ORIGINAL)

    def whole(self, name: str) -> Path:
        """Return the frozen TensorFlow graph as published, decoding included."""
        return self._file(name, WHOLE)

    def golden(self, name: str) -> Path:
        """Return the file of golden outputs, see :mod:`models.golden`."""
        return self._file(name, GOLDEN)

    def clip(self, name: str) -> Path:
        """Return the video file of a clip."""
        manifest = self.manifest(name)
        if manifest.clip is None:
            raise ModelError(f"{name} is a network, not a clip")
        return self._file(name, manifest.clip)

    def verify(self, name: str) -> None:
        """Check every file against the manifest. Raises ModelError naming the first that differs."""
        for relative, expected in self.manifest(name).files.items():
            path = self._file(name, relative)
            try:
                actual = digest(path)
            except OSError as error:
                raise ModelError(f"{path} cannot be read: {error.strerror}", hint=f"models fetch {name}") from error
            if actual != expected:
                raise ModelError(
                    f"{path} is damaged: sha256 {actual.sha256[:12]}… of {actual.size} bytes, "
                    f"{expected.sha256[:12]}… of {expected.size} bytes expected",
                    hint=f"models fetch {name} makes it again",
                )

    def is_current(self, card: Card) -> bool:
        """Whether ``card`` is installed from exactly its sources and undamaged."""
        try:
            if self.manifest(card.name).sources != source_checksums(card):
                return False
            self.verify(card.name)
        except ModelError:
            return False
        return True

    def _file(self, name: str, relative: str) -> Path:
        path = self.network(name) / relative
        if relative not in self.manifest(name).files:
            raise ModelError(f"{name} comes without {relative}")
        if not path.is_file():
            raise ModelError(f"{path} is missing", hint=f"models fetch {name} makes it again")
        return path

    @contextmanager
    def locked(self, name: str, waiting: Callable[[], None]) -> Iterator[None]:
        """Hold the right to install ``name``; ``waiting`` is called when another process has it. Raises OSError."""
        path = self._made(".locks") / name
        with path.open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    @contextmanager
    def building(self, name: str) -> Iterator[Path]:
        """Lend an empty folder on the cache's file system; what a killed fetch left behind is removed."""
        room = self._made(f".building/{name}")
        for left in room.iterdir():
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=room, ignore_cleanup_errors=True) as folder:
            yield Path(folder)

    def downloads(self) -> Path:
        """Return the folder of unfinished downloads, made when missing."""
        return self._made(".downloads")

    def install(self, built: Path, manifest: Manifest) -> None:
        """Move a complete folder to its place; the caller holds the lock.

        Everything is on the disk before the one rename that makes it visible. Only an entry that was already damaged
        or out of date can be in the way; it is moved aside first.
        """
        (built / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        for path in [*built.rglob("*"), built]:
            sync(path)
        place = self.folder / manifest.name
        if place.exists():
            place.rename(built.parent / "replaced")
        built.rename(place)
        sync(self.folder)
        shutil.rmtree(built.parent / "replaced", ignore_errors=True)

    def _made(self, relative: str) -> Path:
        path = self.folder / relative
        path.mkdir(parents=True, exist_ok=True)
        return path


def source_checksums(card: Card) -> dict[str, str]:
    """Checksum of each file the card downloads, as the manifest records it."""
    return {file.name: f"{file.algorithm}:{file.checksum}" for file in card.files}


def digest(path: Path) -> FileDigest:
    """Size and SHA-256 of a file."""
    with path.open("rb") as handle:
        return FileDigest(size=path.stat().st_size, sha256=hashlib.file_digest(handle, "sha256").hexdigest())


def sync(path: Path) -> None:
    """Force a file or folder onto the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(str(step) for step in first['loc']) or 'body'}: {first['msg']}"
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
