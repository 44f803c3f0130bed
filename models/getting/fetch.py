"""Fetch a network or clip: files from their sources, converted, moved into the cache in one step."""

import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import openvino

from agent.errors import FetchError
from models.getting.at_hand import take
from models.getting.convert import convert
from models.getting.download import download, is_intact
from models.getting.packages import Packages, split
from models.getting.progress import Reporter
from models.shelf import catalogue
from models.shelf.catalogue import Card, File, NetworkCard, Pin, Precision
from models.shelf.manifest import Manifest
from models.shelf.store import Store, digest, source_checksums


def fetch(card: Card, store: Store, *, origin: Path | None = None, reporter: Reporter | None = None) -> bool:
    """Install ``card`` and the detector it names; False when all was there already, which needs no network.

    With ``origin``, files are taken from that folder, archive or file and nowhere else. Raises FetchError when a file
    cannot be had, ModelError when the files are not what the card says; either leaves the cache as it was.
    """
    say = reporter or Reporter()
    if _all_current(card, store):
        return False
    try:
        with store.locked(card.name, lambda: say.line(f"another fetch of {card.name} is under way: waiting for it")):
            if _all_current(card, store):
                return False
            with store.building(f"{card.name}.packages") as room:
                packages = Packages(room, _pins(card), say)
                for other in detectors(card):
                    with store.locked(other.name, lambda: None):
                        if not store.is_current(other):
                            _install(other, store, origin, packages, say)
                if not store.is_current(card):
                    _install(card, store, origin, packages, say)
    except OSError as error:
        raise FetchError(
            f"{card.name} cannot be written to {store.folder}: {error.strerror or error}",
            hint="make room there, or choose another --models-dir",
        ) from error
    return True


def detectors(card: Card) -> tuple[NetworkCard, ...]:
    """The network that ``card`` cannot run without, if any."""
    return (catalogue.network(card.detector),) if isinstance(card, NetworkCard) and card.detector else ()


def _all_current(card: Card, store: Store) -> bool:
    return all(store.is_current(each) for each in (*detectors(card), card))


def _pins(card: Card) -> dict[str, Pin]:
    return {name: pin for each in (*detectors(card), card) for name, pin in each.packages.items()}


def gather(card: Card, store: Store, folder: Path, *, reporter: Reporter | None = None) -> list[Path]:
    """Put the files ``card`` is made of into ``folder``, for ``fetch`` with that ``origin`` on a box without a network.

    Those that are there already are checked and left alone. Raises FetchError.
    """
    say = reporter or Reporter()
    cards = (*detectors(card), card)
    wanted = {file: folder / PurePosixPath(file.name).name for each in cards for file in each.files}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        missing = [file for file, path in wanted.items() if not (path.exists() and is_intact(file, path))]
        with store.locked(card.name, lambda: None), store.building(card.name) as scratch:
            packages = Packages(scratch, _pins(card), say)
            for name, path in _gather(card, missing, store, None, scratch, packages, say).items():
                _put(path, folder / PurePosixPath(name).name)
        for each in cards:
            _forget_downloads(each, store)
    except OSError as error:
        place = error.filename or folder
        raise FetchError(
            f"the files of {card.name} cannot be brought to {folder}: {place}: {error.strerror or error}",
            hint="name a folder with room that can be written to; --models-dir has to be one too",
        ) from error
    return list(wanted.values())


def _put(source: Path, place: Path) -> None:
    """Copy a file; what a full disk or Ctrl-C leaves half is not left under its name."""
    part = place.with_name(f".{place.name}.part")
    try:
        shutil.copyfile(source, part)
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)


def _install(card: Card, store: Store, origin: Path | None, packages: Packages, say: Reporter) -> None:
    try:
        with store.building(card.name) as scratch:
            files = _gather(card, card.files, store, origin, scratch, packages, say)
            built = scratch / card.name
            built.mkdir()
            store.install(built, _build(card, files, built, say))
    except OSError:
        _forget_downloads(card, store)  # a full disk is not to stay full because of us
        raise
    _forget_downloads(card, store)


def _gather(
    card: Card,
    files: Sequence[File],
    store: Store,
    origin: Path | None,
    scratch: Path,
    packages: Packages,
    say: Reporter,
) -> dict[str, Path]:
    if origin is not None:
        return {file.name: take(file, origin, scratch / file.checksum) for file in files}
    return {file.name: _obtain(file, card, store.downloads() / file.checksum, packages, say) for file in files}


def _obtain(file: File, card: Card, done: Path, packages: Packages, say: Reporter) -> Path:
    if done.exists() and is_intact(file, done):
        return done
    failures: list[str] = []
    for source in file.sources:
        try:
            if source.startswith("http") and "#" not in source:
                download(source, file, done, say)
            else:
                packages.extract(source, file, done)
            return done
        except FetchError as error:
            place = urlsplit(source).hostname if source.startswith("http") else split(source)[0]
            failures.append(f"{place}: {error}")
            say.line(failures[-1])
    raise FetchError(
        f"{card.name}: {file.name} could not be had: {'; '.join(failures)}",
        hint=f"try again when the network is back, or take files at hand: models fetch {card.name} --from PATH",
    )


def _forget_downloads(card: Card, store: Store) -> None:
    for file in card.files:
        for path in store.downloads().glob(f"{file.checksum}*"):
            path.unlink()


def _build(card: Card, downloaded: dict[str, Path], built: Path, say: Reporter) -> Manifest:
    if isinstance(card, NetworkCard):
        with say.task(f"{card.name}: converting"):
            variants = convert(card, downloaded, built)
        return manifest(card, built, source_checksums(card), variants)
    shutil.copyfile(downloaded[card.files[0].name], built / card.files[0].name)
    return manifest(card, built, source_checksums(card)).model_copy(update={"clip": card.files[0].name})


def manifest(
    card: Card, built: Path, sources: Mapping[str, str], variants: Mapping[Precision, str] | None = None
) -> Manifest:
    """Describe what lies in the folder ``built``, complete but for the manifest itself."""
    return Manifest(
        name=card.name,
        licence=card.licence,
        origin=card.origin,
        sources=dict(sources),
        files={str(path.relative_to(built)): digest(path) for path in sorted(built.rglob("*")) if path.is_file()},
        variants=dict(variants or {}),
        openvino_version=openvino.__version__ if variants else None,
        edgepose_version=version("edgepose"),
        created_at=datetime.now(UTC),
    )
