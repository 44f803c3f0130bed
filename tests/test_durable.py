"""Files that are the old or the new ones: what all three programs write with."""

import errno
import os
import stat
from pathlib import Path

import pytest

from agent.durable import aside, replace_file


def test_a_file_is_replaced_when_its_content_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file aside is forced onto the disk before it takes the old one's place, and the folder after that."""
    path, seen = tmp_path / "a.json", []
    sync = os.fsync

    def force(descriptor: int) -> None:
        seen.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), path.read_bytes() if path.exists() else None))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", force)
    for content in (b"old", b"new"):
        replace_file(path, content)
    assert seen == [(False, None), (True, b"old"), (False, b"old"), (True, b"new")]
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be written is told, leaves the file as it was, and nothing beside it."""
    path = tmp_path / "a.json"
    replace_file(path, b"old")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


def test_what_is_private_is_its_owners_alone(tmp_path: Path) -> None:
    """A private file comes with its folders, for its owner alone; another is as the user's files are, in no new folder.

    What a crash left aside means nothing, and is overwritten.
    """
    ours, theirs = tmp_path / "state" / "deep" / "a.json", tmp_path / "b.json"
    usual = os.umask(0o022)
    try:
        aside(theirs).write_bytes(b"a longer one that was cut short by the power")
        replace_file(ours, b"1", private=True)
        replace_file(theirs, b"2")
        with pytest.raises(FileNotFoundError):
            replace_file(tmp_path / "none" / "c.json", b"3")
    finally:
        os.umask(usual)
    assert [stat.S_IMODE(each.stat().st_mode) for each in (ours, ours.parent, theirs)] == [0o600, 0o700, 0o644]
    assert theirs.read_bytes() == b"2"
    assert not (tmp_path / "none").exists()
