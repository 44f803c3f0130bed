"""``--from``: files already at hand."""

import bz2
import errno
import io
import lzma
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from agent.errors import FetchError
from models.getting import download
from models.getting.fetch import fetch, gather
from models.getting.progress import Reporter
from models.shelf.catalogue import ClipCard, Pin
from models.shelf.store import Store
from tests.models.samples import CONTENT, clip_card
from tests.models.server import serving

QUIET = Reporter(Console(quiet=True))
CARD = clip_card("http://nowhere.invalid/sample.avi")


@pytest.fixture
def cache(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


@pytest.fixture
def hand(tmp_path: Path) -> Path:
    """Make a folder that holds the file, below another of the same name with other bytes."""
    folder = tmp_path / "hand"
    (folder / "deeper").mkdir(parents=True)
    (folder / "sample.avi").write_bytes(b"another edition")
    (folder / "deeper" / "sample.avi").write_bytes(CONTENT)
    return folder


def test_folder(cache: Store, hand: Path) -> None:
    """A folder is searched to its bottom, and the checksum decides between files of one name."""
    assert fetch(CARD, cache, origin=hand, reporter=QUIET)
    assert cache.clip("sample").read_bytes() == CONTENT
    assert (hand / "deeper" / "sample.avi").read_bytes() == CONTENT


def test_single_file(cache: Store, hand: Path) -> None:
    """The file itself can be named."""
    assert fetch(CARD, cache, origin=hand / "deeper" / "sample.avi", reporter=QUIET)
    assert cache.clip("sample").read_bytes() == CONTENT


def test_archive(cache: Store, hand: Path, tmp_path: Path) -> None:
    """An archive is looked into, also when it lies in the folder named."""
    (tmp_path / "packed").mkdir()
    with tarfile.open(tmp_path / "packed" / "it.tgz", "w:gz") as tar:
        tar.add(hand / "deeper" / "sample.avi", "package/models/sample.avi")
    assert fetch(CARD, cache, origin=tmp_path / "packed", reporter=QUIET)
    assert cache.clip("sample").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("origin", "reason"),
    [
        ("nothing", "does not exist"),
        ("hand/sample.avi", "1 of that name differ"),
        ("other", "nothing there has that name"),
        ("broken.tgz", "cannot be unpacked"),
    ],
)
def test_what_cannot_be_used_is_named(origin: str, reason: str, cache: Store, hand: Path, tmp_path: Path) -> None:
    """Missing, wrong and broken files end in one line, with no fall-back to the network and nothing installed."""
    (tmp_path / "other").mkdir()
    (tmp_path / "broken.tgz").write_bytes(b"no archive")
    with pytest.raises(FetchError, match=reason) as caught:
        fetch(CARD, cache, origin=tmp_path / origin, reporter=QUIET)
    assert origin.split("/", maxsplit=1)[0] in str(caught.value)
    assert "\n" not in str(caught.value)
    assert cache.names() == ()
    assert not any(path.is_file() for path in (cache.folder / ".building").rglob("*"))


def test_zip_that_calls_it_otherwise(cache: Store, tmp_path: Path) -> None:
    """A zip at hand, as it was downloaded, may know the file by the name that the card's sources tell."""
    with zipfile.ZipFile(tmp_path / "sample.zip", "w") as archive:
        archive.writestr("deploy.json", "{}")
        archive.writestr("folder/end2end.onnx", CONTENT)
    card = clip_card("http://nowhere.invalid/sample.zip#folder/end2end.onnx")
    assert fetch(card, cache, origin=tmp_path / "sample.zip", reporter=QUIET)
    assert cache.clip("sample").read_bytes() == CONTENT


def zipped(compression: int = zipfile.ZIP_STORED, *contents: bytes) -> bytearray:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for number, content in enumerate(contents or (CONTENT,)):
            archive.writestr(f"{number}/sample.avi", content)
    return bytearray(buffer.getvalue())


def listed(offset: int, value: bytes, compression: int = zipfile.ZIP_STORED) -> bytearray:
    """A zip whose list of files says something else at ``offset`` of its first entry."""
    archive = zipped(compression)
    start = archive.rfind(b"PK\x01\x02") + offset
    archive[start : start + len(value)] = value
    return archive


def spoilt(compression: int) -> bytearray:
    """A zip with a byte in the middle of the file turned over."""
    archive = zipped(compression)
    archive[1000] ^= 0xFF
    return archive


def encrypted() -> bytearray:
    archive = listed(8, b"\x01")
    archive[6] |= 1
    return archive


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("sample.avi")
        entry.size = len(CONTENT)
        tar.addfile(entry, io.BytesIO(CONTENT))
    return buffer.getvalue()


DAMAGED: dict[str, tuple[str, Callable[[], bytes | bytearray], str]] = {
    "a bit that fell over": ("a.zip", lambda: spoilt(zipfile.ZIP_STORED), "unpacked: Bad CRC-32"),
    "the same, deflated": ("a.zip", lambda: spoilt(zipfile.ZIP_DEFLATED), "unpacked: "),
    "the same, LZMA": ("a.zip", lambda: spoilt(zipfile.ZIP_LZMA), "unpacked: Corrupt input data"),
    "the same, bzip2": ("a.zip", lambda: spoilt(zipfile.ZIP_BZIP2), "read: Invalid data stream"),
    "encrypted": ("a.zip", encrypted, "unpacked: it is encrypted"),
    "larger in the list": ("a.zip", lambda: listed(20, b"\x00\x00\x90\x00" * 2), "it ends too early"),
    "a list that lies before the file": ("a.zip", lambda: zipped()[100:], "a.zip cannot be "),
    "a name as long as the file": ("a.zip", lambda: zipped().replace(b"\x0c\x00", b"\x0c\x9f", 1), "differ|header"),
    "a tarball that ends early": ("a.tgz", lambda: lzma.compress(tarred())[:5000], "unpacked: Compressed file ended"),
    "a bit in a tarball": ("a.tar", lambda: bz2.compress(tarred())[:400_000], "unpacked: "),
}  # fmt: skip


@pytest.mark.parametrize("fault", DAMAGED)
def test_damaged_archive_is_one_line(fault: str, cache: Store, tmp_path: Path) -> None:
    """An archive that is broken in the middle of a file, not at its door, is named with what is wrong, and short."""
    name, make, reason = DAMAGED[fault]
    (tmp_path / name).write_bytes(make())
    with pytest.raises(FetchError, match=reason) as caught:
        fetch(CARD, cache, origin=tmp_path / name, reporter=QUIET)
    assert name in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400 + len(str(tmp_path))
    assert cache.names() == ()
    assert not any(path.is_file() for path in (cache.folder / ".building").rglob("*"))


def test_a_damaged_archive_hides_no_sound_one(cache: Store, tmp_path: Path) -> None:
    """What cannot be read is passed over while there is more to look into, in capitals too."""
    folder = tmp_path / "packed"
    folder.mkdir()
    (folder / "a.zip").write_bytes(spoilt(zipfile.ZIP_STORED))
    (folder / "b.ZIP").write_bytes(zipped(zipfile.ZIP_STORED, b"another edition", CONTENT))
    assert fetch(CARD, cache, origin=folder, reporter=QUIET)
    assert cache.clip("sample").read_bytes() == CONTENT


def test_an_archive_that_would_fill_the_disk(cache: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file that is larger than the pinned one no more is unpacked than it takes to know."""
    (tmp_path / "a.zip").write_bytes(zipped(zipfile.ZIP_DEFLATED, bytes(64 << 20)))
    taken: list[int] = []
    whole = download.accept

    def accept(file: Pin, part: Path, done: Path) -> None:
        taken.append(part.stat().st_size)
        whole(file, part, done)

    monkeypatch.setattr(download, "accept", accept)
    with pytest.raises(FetchError, match="1 of that name differ"):
        fetch(CARD, cache, origin=tmp_path / "a.zip", reporter=QUIET)
    assert taken
    assert max(taken) < 2 * len(CONTENT)


@pytest.mark.parametrize("place", ["file/below", "taken"])
def test_files_cannot_be_brought_there(place: str, cache: Store, tmp_path: Path, served: ClipCard) -> None:
    """`--files-to` a folder that cannot be, or where a folder has the file's name, ends in a line."""
    (tmp_path / "file").touch()
    (tmp_path / "taken" / "sample.avi").mkdir(parents=True)
    with pytest.raises(FetchError, match="the files of sample cannot be brought to"):
        gather(served, cache, tmp_path / place, reporter=QUIET)


def test_half_a_file_is_not_brought(
    cache: Store, tmp_path: Path, served: ClipCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is full in the middle of a file has no half of it afterwards."""

    def half(_source: Path, place: Path) -> None:
        place.write_bytes(CONTENT[:1000])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", half)
    with pytest.raises(FetchError, match=r"cannot be brought to .*: No space left on device"):
        gather(served, cache, tmp_path / "usb", reporter=QUIET)
    assert list((tmp_path / "usb").iterdir()) == []


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[ClipCard]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as server:
        server.files["/sample.avi"] = CONTENT
        yield clip_card(server.url("/sample.avi"))
