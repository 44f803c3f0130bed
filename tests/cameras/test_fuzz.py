"""The short form of ``make fuzz-cameras``."""

from pathlib import Path

from tests.cameras.fuzz import fuzz


def test_damaged_inputs(tmp_path: Path) -> None:
    """A hundred damaged inputs: no crash, no hang, no picture out of a buffer nobody wrote; most show something."""
    outcome = fuzz(100, 7, tmp_path)
    assert outcome.faults == 0, outcome.first
    assert outcome.inputs == 100
    assert outcome.pictures > 300
