"""The cache folder: installed networks and clips, each a folder with a manifest of digests.

<folder>/<name>/manifest.json      written last, so a folder without one is not installed
<folder>/<name>/FP32/<name>.xml    a variant, its .bin beside it
<folder>/<name>/INT8/<digest>/...  a variant that was made here, from the FP32 one
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
from contextlib import contextmanager, suppress
from pathlib import Path

from platformdirs import PlatformDirs
from pydantic import ValidationError

from agent.durable import sync
from agent.errors import ModelError
from agent.wire.wording import cause_of
from models.shelf import catalogue
from models.shelf.catalogue import PRECISIONS, Card, NetworkCard, Precision
from models.shelf.manifest import Certificate, FileDigest, Manifest

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
            card = catalogue.parse(path.read_text(encoding="utf-8-sig"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(f"{path} cannot be read: {error}", hint=f"models add the card of {name} again") from error
        if not isinstance(card, NetworkCard) or card.name != name:
            raise ModelError(f"{path} is not the card of {name}", hint=f"models add the card of {name} again")
        return card

    def seeing(self, card: NetworkCard) -> NetworkCard:
        """Return the card of the network that sees the whole picture: the first of two stages, else the card itself.

        Raises ModelError for an unknown detector.
        """
        return card if card.detector is None else self.card(card.detector)

    def network(self, name: str) -> Path:
        """Return the folder of an installed network or clip."""
        self.manifest(name)
        return self.folder / name

    def manifest(self, name: str) -> Manifest:
        """Read the manifest of an installed network or clip. Raises ModelError where it is not there."""
        path = self.folder / name / MANIFEST
        try:
            return Manifest.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise self._absent(name) from None
        except (OSError, ValidationError) as error:
            cure = f"models add the card of {name} again" if name in self.own() else f"models fetch {name}"
            raise ModelError(f"{path} cannot be read: {_first_line(error)}", hint=cure) from error

    def _absent(self, name: str) -> ModelError:
        known = name in catalogue.cards()  # what nobody knows cannot be fetched either
        hint = f"models fetch {name}" if known else "`models list` shows what there is"
        return ModelError(f"{name} is not in {self.folder}", hint=hint)

    def _require(self, name: str) -> None:
        if name not in {*self.names(), *self.own()}:
            raise self._absent(name)

    def size(self, name: str) -> int:
        """Bytes of an entry without its manifest, damaged or not. Raises ModelError where it is not there."""
        self._require(name)
        entry = self.folder / name
        files = (path for path in entry.rglob("*") if path != entry / MANIFEST and not path.is_dir())
        return sum(path.lstat().st_size for path in files)

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

    def certificate(self, name: str, precision: Precision) -> Certificate | None:
        """Return what is known of a variant that was made here; None of one that was not."""
        return self.manifest(name).certificates.get(precision)

    def original(self, name: str) -> Path:
        """Return the frozen TensorFlow graph with the variants' outputs, as OpenCV's DNN module reads it."""
        return self._file(name, ORIGINAL)

    def whole(self, name: str) -> Path:
        """Return the frozen TensorFlow graph as published, decoding included."""
        return self._file(name, WHOLE)

    def golden(self, name: str) -> Path:
        """Return the file of golden outputs, see :mod:`models.shelf.golden`."""
        return self._file(name, GOLDEN)

    def clip(self, name: str) -> Path:
        """Return the video file of a clip."""
        manifest = self.manifest(name)
        if manifest.clip is None:
            raise ModelError(f"{name} is a network, not a clip")
        return self._file(name, manifest.clip)

    def verify(self, name: str) -> None:
        """Check every file against the manifest. Raises ModelError naming the first that differs."""
        for relative in self.manifest(name).files:
            self._verify_file(name, relative)

    def verify_variant(self, name: str, precision: Precision) -> str:
        """Check the files of one precision against the manifest; returns the SHA-256 of their content as one.

        Raises ModelError naming the first that is missing or differs.
        """
        xml = self.variant(name, precision).relative_to(self.folder / name)
        content = [self._verify_file(name, str(path)).sha256 for path in (xml, xml.with_suffix(".bin"))]
        return hashlib.sha256(" ".join(content).encode()).hexdigest()

    def _verify_file(self, name: str, relative: str) -> FileDigest:
        path, expected = self._file(name, relative), self.manifest(name).files[relative]
        try:
            actual = digest(path)
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}", hint=self._cure(name, relative)) from error
        if actual != expected:
            raise ModelError(
                f"{path} is damaged: sha256 {actual.sha256[:12]}… of {actual.size} bytes, "
                f"{expected.sha256[:12]}… of {expected.size} bytes expected",
                hint=self._cure(name, relative),
            )
        return actual

    def is_current(self, card: Card) -> bool:
        """Whether ``card`` is installed from exactly its sources and undamaged, but for what was made from it here."""
        try:
            manifest = self.manifest(card.name)
            if manifest.sources != source_checksums(card):
                return False
            for relative in set(manifest.files) - manifest.made_here():
                self._verify_file(card.name, relative)
        except ModelError:
            return False
        return True

    def _file(self, name: str, relative: str) -> Path:
        path = self.network(name) / relative
        if relative not in self.manifest(name).files:
            raise ModelError(f"{name} comes without {relative}")
        if not path.is_file():
            raise ModelError(f"{path} is missing", hint=self._cure(name, relative))
        return path

    def _cure(self, name: str, relative: str) -> str:
        if relative in self.manifest(name).made_here():
            return f"models quantize {name} makes it again"
        if name in self.own():
            return f"models add the card of {name} again"
        return f"models fetch {name} makes it again"

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
        or out of date can be in the way; it is moved aside first. What was made here from the same FP32 files is kept.
        """
        manifest = self._with_variants_made_here(built, manifest)
        (built / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        for path in [*built.rglob("*"), built]:
            sync(path)
        place = self.folder / manifest.name
        if place.exists():
            place.rename(built.parent / "replaced")
        built.rename(place)
        sync(self.folder)
        shutil.rmtree(built.parent / "replaced", ignore_errors=True)

    def add_variant(self, name: str, precision: Precision, built: Path, certificate: Certificate) -> Path:
        """Move a folder that holds <name>.xml and .bin into an installed entry, in place of the variant there was.

        The caller holds the lock. Returns the .xml. The manifest is replaced last, in one step, and what nothing names
        any more is deleted after that; an engine that runs it keeps it open.
        """
        manifest, entry = self.manifest(name), self.folder / name
        found = {path.name: digest(path) for path in sorted(built.iterdir())}
        content = " ".join(file.sha256 for file in found.values())
        folder = f"{precision}/{hashlib.sha256(content.encode()).hexdigest()[:12]}"
        files = {f"{folder}/{file}": expected for file, expected in found.items()}
        changed = manifest.with_variant(precision, f"{folder}/{name}.xml", files, certificate)
        if any(manifest.files.get(path) != expected for path, expected in files.items()):
            for path in [*built.iterdir(), built]:
                sync(path)
            (entry / precision).mkdir(exist_ok=True)
            shutil.rmtree(entry / folder, ignore_errors=True)  # of an attempt that was killed here
            built.rename(entry / folder)
            sync(entry / precision)
        self._replace_manifest(changed)
        for path in [path for path in (entry / precision).rglob("*") if path.is_file()]:
            if str(path.relative_to(entry)) not in changed.files:
                path.unlink()
        return entry / folder / f"{name}.xml"

    def users_of(self, name: str) -> tuple[str, ...]:
        """List the installed networks of two stages of which ``name`` is the first; a damaged one uses nothing."""
        cards, found = catalogue.cards(), list[NetworkCard]()
        for each in self.names():
            if isinstance(cards.get(each), NetworkCard) or each in self.own():
                with suppress(ModelError):
                    found.append(self.card(each))
        return tuple(card.name for card in found if card.detector == name)

    def remove(self, name: str) -> int:
        """Take an entry away; the bytes of its files.

        It may be damaged. It is gone with one rename, and deleted after that; an engine that runs it keeps it open.
        Raises ModelError.
        """
        self._require(name)  # before anything is made for a name that is none
        try:
            with self.locked(name, lambda: None):
                size = self.size(name)
                with self.building(name) as room:
                    (self.folder / name).rename(room / name)
                    sync(self.folder)
        except OSError as error:
            raise ModelError(f"{self.folder / name} cannot be removed: {error.strerror}") from error
        return size

    def _replace_manifest(self, manifest: Manifest) -> None:
        entry = self.folder / manifest.name
        aside = entry / f".{MANIFEST}"
        aside.write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        sync(aside)
        aside.replace(entry / MANIFEST)
        sync(entry)

    def _with_variants_made_here(self, built: Path, manifest: Manifest) -> Manifest:
        """Copy them from the installed entry to ``built``, where their FP32 is that of ``built``."""
        try:
            old = self.manifest(manifest.name)
        except ModelError:
            return manifest
        for precision, certificate in old.certificates.items():
            files = old.files_of(precision)
            try:
                for relative in files:
                    self._verify_file(old.name, relative)
            except ModelError:
                continue
            if certificate.fp32_sha256 == manifest.weights_sha256("FP32"):
                for relative in files:
                    (built / relative).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(self.folder / old.name / relative, built / relative)
                manifest = manifest.with_variant(precision, old.variants[precision], files, certificate)
        return manifest

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


def _first_line(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else cause_of(error, "body")
