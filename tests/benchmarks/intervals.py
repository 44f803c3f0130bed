"""How honest the intervals of a study are: ``make bench-intervals``.

One configuration is run a hundred times, and the runs are dealt out to twenty rows of five in two ways: in rounds, as a
study makes them, and one row after the other, as twenty benchmarks would. Each row has the 95 % interval of frames a
second that the agent would print, widened by the drift that it sees; counted is how many contain the mean of all runs.
Of honest intervals that are 18 or more, nineteen times of twenty. No interval can know of what changed after its last
run: that is why a study makes its runs in rounds, and why benchmarks of different hours are not to be compared. The
last line is one JSON object.
"""

import argparse
import json
import threading
from collections.abc import Sequence
from contextlib import closing

import cv2

from agent.benchmark.clips import Clips, Reel
from agent.benchmark.load import LoadMeter
from agent.benchmark.measure import Measured, run_once
from agent.benchmark.rounds import counting, with_drift, with_figures
from agent.benchmark.statistics import another
from agent.config.tree import Config, Log
from agent.control.samples import Samples
from agent.inference.devices import open_core
from agent.observe import logs
from agent.pipeline import Lane
from agent.poses.movenet import MoveNetDecoder
from agent.tracking import track_stage
from agent.wire.commands import Measuring
from agent.wire.study import Recipe, Row
from models.getting.fetch import fetch
from models.shelf import catalogue
from models.shelf.store import Store, models_dir
from tests.benchmarks.bench import NETWORK, engine_of

NEVER = threading.Event()
RECIPE = Recipe(engine="openvino", model=NETWORK, device="CPU", precision="FP32", hint="throughput")


def measured(lane: Lane, footage: Reel, wanted: int) -> list[Measured]:
    """So many runs that nothing disturbed; where the box is busy, some that were."""
    config = Config()
    done: list[Measured] = []
    while another([run.run for run in done], wanted):
        with closing(footage.open()) as source:
            track = track_stage(config.tracking, config.smoothing)
            done.append(run_once(lane, source, track=track, meter=LoadMeter(), cancelled=NEVER))
        run = done[-1].run
        print(f"{len(done):3}: {run.fps:.2f} FPS{f', {run.disturbed}' if run.disturbed else ''}", flush=True)
    return done


def in_rounds(runs: Sequence[Measured], rows: int) -> tuple[Row, ...]:
    """The rows of one study of equals."""
    dealt = [runs[place::rows] for place in range(rows)]
    return with_drift([counting(row_of(each), len(each)) for each in dealt])


def one_by_one(runs: Sequence[Measured], rows: int) -> tuple[Row, ...]:
    """As many benchmarks, one after the other: each knows its own runs alone."""
    each = len(runs) // rows
    dealt = [runs[each * place : each * (place + 1)] for place in range(rows)]
    return tuple(with_drift([counting(row_of(own), each)])[0] for own in dealt)


def row_of(runs: Sequence[Measured]) -> Row:
    """A row with its runs."""
    return with_figures(Row(recipe=RECIPE, status="measured"), runs, len(runs))


def containing(rows: Sequence[Row], mean: float) -> int:
    """How many intervals contain it."""
    intervals = [row.fps.interval for row in rows if row.fps is not None and row.fps.interval is not None]
    return sum(low <= mean <= high for low, high in intervals)


def widths(rows: Sequence[Row]) -> str:
    """How wide half an interval is, in the mean and at most, as shares of their means."""
    halves = [
        (row.fps.interval[1] - row.fps.interval[0]) / 2 / row.fps.mean for row in rows if row.fps and row.fps.interval
    ]
    return f"half as wide as {sum(halves) / len(halves):.1%} of their mean, at most {max(halves):.1%}"


def main() -> None:
    """Run, deal out and count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20)
    parser.add_argument("--runs", type=int, default=5, help="of each row")
    parser.add_argument("--frames", type=int, default=200, help="of each run")
    arguments = parser.parse_args()

    logs.setup(Log(level="warning"))
    cv2.setNumThreads(1)  # as the agent does
    store = Store(models_dir())
    for name in (NETWORK, "vtest"):
        fetch(catalogue.card(name), store)
    clips = Clips(Config(), store, Samples())
    args = Measuring(frames=arguments.frames, clip="vtest")
    with (
        engine_of(open_core({}), store, "FP32", "throughput") as engine,
        clips.footage(args, lambda _what: None, NEVER) as footage,
    ):
        lane = Lane(engine, MoveNetDecoder(person_score_min=0.2, persons_max=20))
        print("warming up")
        measured(lane, footage, 1)
        runs = measured(lane, footage, arguments.rows * arguments.runs)
    quiet = [run for run in runs if run.run.disturbed is None]
    runs = quiet if len(quiet) >= arguments.rows * arguments.runs else runs
    runs = runs[: arguments.rows * arguments.runs]
    mean = sum(run.run.fps for run in runs) / len(runs)
    figures: dict[str, float] = {"rows": arguments.rows, "mean_fps": round(mean, 2)}
    ways = {"in rounds": in_rounds, "one by one": one_by_one}
    for name, dealt in ways.items():
        rows = dealt(runs, arguments.rows)
        figures[name.replace(" ", "_")] = inside = containing(rows, mean)
        print(f"{name}: {inside} of {len(rows)} intervals contain the mean of all, {mean:.2f} FPS; {widths(rows)}")
    disturbed = sum(run.run.disturbed is not None for run in runs)
    print(json.dumps(figures | {"disturbed_runs": disturbed}))


if __name__ == "__main__":
    main()
