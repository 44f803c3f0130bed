"""What an audit of the dependencies comes to."""

import json

import pytest

from tests.security.audit import CLEAN, FOUND, NOT_LOOKED_UP, judge

GOOD = {"name": "click", "version": "8.2", "vulns": []}
BAD = {"name": "old", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]}
UNFIXED = {"name": "old", "version": "1.0", "vulns": [{"id": "PYSEC-2", "fix_versions": []}]}
SKIPPED = {"name": "strange", "skip_reason": "not on the index"}


@pytest.mark.parametrize(
    ("dependencies", "code", "told"),
    [
        ([GOOD], CLEAN, "1 dependencies looked up, 0 known"),
        ([GOOD, BAD], FOUND, "old 1.0: PYSEC-1, fixed in 1.1"),
        ([UNFIXED], FOUND, "no version yet"),
        ([GOOD, SKIPPED], CLEAN, "strange: not looked up"),
        ([SKIPPED], NOT_LOOKED_UP, "NOT AUDITED"),
        ([], NOT_LOOKED_UP, "NOT AUDITED"),
    ],
)
def test_a_report_is_judged(dependencies: list[object], code: int, told: str) -> None:
    """A vulnerability is a finding, one without a fix too; what looked nothing up is never clean."""
    came, lines = judge(json.dumps({"dependencies": dependencies}), "")
    assert came == code
    assert told in "\n".join(lines)


@pytest.mark.parametrize("report", ["", "Traceback", "[]", "{}"])
def test_without_a_report_nothing_was_looked_up(report: str) -> None:
    """A database out of reach is told from a clean answer, with the reason."""
    code, lines = judge(report, "one\n\nConnectionError: no route\n")
    assert code == NOT_LOOKED_UP
    assert lines[-1] == "ConnectionError: no route"
