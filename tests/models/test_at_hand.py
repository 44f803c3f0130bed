"""``--from``: files already at hand."""

import tarfile
import zipfile
from pathlib import Path

import pytest
from rich.console import Console

from agent.errors import FetchError
from models.getting.fetch import fetch
from models.getting.progress import Reporter
from models.shelf.store import Store
from tests.models.samples import CONTENT, clip_card

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
