"""Runs that were disturbed are repeated, within reason."""

from collections.abc import Sequence

from agent.wire.study import Run

EXTRA_SHARE = 0.5
"""At most so many runs more than were asked for, as a share of them: a busy box comes to an end too."""


def another(done: Sequence[Run], wanted: int) -> bool:
    """Whether one more run is to be made, until ``wanted`` were quiet or too many were not."""
    quiet = sum(run.disturbed is None for run in done)
    return quiet < wanted and len(done) < wanted + max(1, int(wanted * EXTRA_SHARE))


def counted(done: Sequence[Run], wanted: int) -> tuple[int, ...]:
    """Places of the runs that count: the quiet ones, and of the disturbed as many of the first as are missing."""
    quiet = [place for place, run in enumerate(done) if run.disturbed is None]
    disturbed = [place for place, run in enumerate(done) if run.disturbed is not None]
    return tuple(sorted(quiet + disturbed[: wanted - len(quiet)]))
