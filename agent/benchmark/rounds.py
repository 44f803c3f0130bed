"""The order of runs, and what those of a row come to: all of it is pure.

Rows are measured in rounds, A B C, A B C: what the machine does meanwhile falls on all of them alike, and what is left
of it shows in the row that was measured in every round.
"""

from collections.abc import Sequence

from agent.benchmark.measure import Measured
from agent.benchmark.statistics import another, counted, drift, percentiles, spread
from agent.wire.study import Row

DRIFT_RUNS_MIN = 4
"""With fewer, drift cannot be told from chance."""


def next_place(rows: Sequence[Row], wanted: Sequence[int]) -> int | None:
    """Place of the row whose turn it is: of those that want another run the first with the fewest; None at the end."""
    open_ = [place for place, row in enumerate(rows) if row.status == "measured" and another(row.runs, wanted[place])]
    return min(open_, key=lambda place: len(rows[place].runs), default=None)


def counting(row: Row, wanted: int) -> Row:
    """A row with the runs alone that count."""
    return row.model_copy(update={"runs": tuple(row.runs[place] for place in counted(row.runs, wanted))})


def with_figures(row: Row, done: Sequence[Measured], wanted: int) -> Row:
    """A row with all of its runs, and the figures of those that count.

    Percentiles are over the frames of all of these runs; where an agent before this one made some of them, of which
    single frames are not known, they are the mean of the percentiles of each.
    """
    runs = [measured.run for measured in done]
    counts = [done[place] for place in counted(runs, wanted)]
    if all(measured.latencies_ms for measured in counts):
        p50, p95, p99 = percentiles([value for measured in counts for value in measured.latencies_ms])
    else:
        each = [(run.latency_ms_p50, run.latency_ms_p95, run.latency_ms_p99) for run in (one.run for one in counts)]
        p50, p95, p99 = (sum(values) / len(values) for values in zip(*each, strict=True))
    return row.model_copy(
        update={
            "runs": tuple(runs),
            "fps": spread([measured.run.fps for measured in counts]),
            "latency_ms": spread([measured.run.latency_ms_mean for measured in counts]),
            "latency_ms_p50": p50,
            "latency_ms_p95": p95,
            "latency_ms_p99": p99,
            "disturbed_runs": sum(run.disturbed is not None for run in runs),
        }
    )


def with_drift(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Rows that count, their intervals as wide as the drift of the machine makes them.

    It is that of the first row of OpenVINO's with enough quiet runs, which is measured in every round.
    """
    share = next((found for row in rows if (found := _drift_of(row)) is not None), 0.0)
    return tuple(
        row
        if row.fps is None or row.latency_ms is None
        else row.model_copy(
            update={
                "fps": spread([run.fps for run in row.runs], share),
                "latency_ms": spread([run.latency_ms_mean for run in row.runs], share),
            }
        )
        for row in rows
    )


def _drift_of(row: Row) -> float | None:
    quiet = [run.fps for run in row.runs if run.disturbed is None]
    if row.recipe.engine == "original" or len(quiet) < DRIFT_RUNS_MIN:
        return None
    return drift(quiet)
