"""A cache folder on a disk that is full: an engine all the same, told in the log, and nothing stays that fills it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from models.shelf.catalogue import network
from models.shelf.store import Store
from tests.inference.test_checked import build

NAME = "movenet-multipose"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, with room for a good megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1200k", "tmpfs", str(place)]
    if (done := subprocess.run(command, capture_output=True, text=True, check=False)).returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize("size", [None, (64, 64)])
def test_a_full_disk_is_told_at_the_first_loss(store: Store, disk: Path, size: tuple[int, int] | None) -> None:
    """The first compiled network that does not fit is told, and neither a part of it nor of a golden answer stays."""
    card = network(NAME)
    with capture_logs() as logged:
        engine = build(store, card.name, disk, size or (card.input.height, card.input.width))
    engine.close()
    assert "cache.not_kept" in [entry["event"] for entry in logged]
    left = [path for path in disk.rglob("*") if path.is_file()]
    assert all(path.suffix == ".npz" for path in left), f"{left} cannot be used"
    with capture_logs():
        again = build(store, card.name, disk, size or (card.input.height, card.input.width))
    assert not again.facts.from_cache
    again.close()
