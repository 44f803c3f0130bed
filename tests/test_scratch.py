"""Folders for a while, and what is said where none can be made."""

import tempfile
from pathlib import Path

import pytest

from agent.errors import EdgeposeError
from agent.scratch import scratch


def test_a_folder_for_a_while_is_gone_afterwards() -> None:
    """With what is in it, also where its user failed."""
    kept: list[Path] = []

    def fails() -> None:
        with scratch("a test") as folder:
            kept.append(folder)
            (folder / "file").touch()
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert not kept[0].exists()


def test_where_no_folder_can_be_made_the_cure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each disk is full: Python then finds no temporary folder anywhere."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", list)
    with pytest.raises(EdgeposeError, match="for a test: No usable temporary directory") as refusal, scratch("a test"):
        pass
    assert "TMPDIR" in refusal.value.hint
