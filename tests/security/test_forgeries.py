"""The short version of a test that runs on its own."""

import sys

import pytest

from tests.security import forgeries


def test_no_forgery_is_obeyed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What is replayed, redirected, expired, unsigned, cut or changed is not obeyed, across its restarts."""
    monkeypatch.setattr(sys, "argv", ["forgeries", "--times", "20", "--rounds", "3"])
    code = forgeries.main()
    told = capsys.readouterr().out
    assert code == 0, told
    assert told.count("0 of 20 obeyed") == 8
