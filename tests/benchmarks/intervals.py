"""How honest the intervals of a benchmark are: ``make bench-intervals``.

Makes twenty benchmarks of one configuration, as the agent makes them, and counts how many of their 95 % intervals of
frames per second contain the mean over all of them. Of honest intervals that are 18 or more, nineteen times of twenty.
No interval can know of what changed after its last run: a machine that is busy in one hour and idle in the next has
none that holds for both. Benchmarks in which a disturbed run counts are therefore left out of the second count.
"""

import argparse
import threading
from contextlib import closing

import cv2

from agent.benchmark.clips import Clips
from agent.benchmark.load import LoadMeter
from agent.benchmark.measure import run_once
from agent.benchmark.statistics import another, counted, spread
from agent.config.tree import Config, Log
from agent.control.samples import Samples
from agent.inference.devices import open_core
from agent.observe import logs
from agent.pipeline import Lane
from agent.poses.movenet import MoveNetDecoder
from agent.tracking import track_stage
from agent.wire.commands import Measuring
from agent.wire.study import Run, Spread
from models.getting.fetch import fetch
from models.shelf import catalogue
from models.shelf.store import Store, models_dir
from tests.benchmarks.bench import NETWORK, engine_of

NEVER = threading.Event()


def benchmark(lane: Lane, clips: Clips, args: Measuring) -> tuple[Spread, list[Run]]:
    """One benchmark: the spread of its frames per second, and all its runs."""
    config = Config()
    done: list[Run] = []
    with clips.footage(args, lambda _what: None, NEVER) as footage:
        while another(done, args.runs):
            with closing(footage.open()) as source:
                track = track_stage(config.tracking, config.smoothing)
                done.append(run_once(lane, source, track=track, meter=LoadMeter(), cancelled=NEVER).run)
    return spread([done[place].fps for place in counted(done, args.runs)]), done


def main() -> None:
    """Make the benchmarks and count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--benchmarks", type=int, default=20)
    parser.add_argument("--runs", type=int, default=5, help="of each benchmark")
    parser.add_argument("--frames", type=int, default=200, help="of each run")
    arguments = parser.parse_args()

    logs.setup(Log(level="warning"))
    cv2.setNumThreads(1)  # as the agent does
    store = Store(models_dir())
    for name in (NETWORK, "vtest"):
        fetch(catalogue.card(name), store)
    clips = Clips(Config(), store, Samples())
    args = Measuring(runs=arguments.runs, frames=arguments.frames, clip="vtest")
    spreads: list[Spread] = []
    quiet: list[Spread] = []
    with engine_of(open_core({}), store, "FP32", "throughput") as engine:
        lane = Lane(engine, MoveNetDecoder(person_score_min=0.2, persons_max=20))
        benchmark(lane, clips, args.model_copy(update={"runs": 1}))  # warm-up, not counted
        for number in range(1, arguments.benchmarks + 1):
            found, done = benchmark(lane, clips, args)
            spreads.append(found)
            noisy = sum(run.disturbed is not None for run in done)
            if len(done) - noisy >= args.runs:
                quiet.append(found)
            print(f"{number:3}: {shown(found)}, {noisy} of {len(done)} runs disturbed", flush=True)
    print(honesty(spreads))
    print(f"without disturbed runs: {honesty(quiet)}" if quiet else "no benchmark was without disturbed runs")


def honesty(spreads: list[Spread]) -> str:
    """How many intervals contain the mean of all."""
    pooled = sum(found.mean for found in spreads) / len(spreads)
    inside = sum(found.interval[0] <= pooled <= found.interval[1] for found in spreads if found.interval)
    return f"{inside} of {len(spreads)} intervals contain the pooled mean, {pooled:.2f} FPS"


def shown(found: Spread) -> str:
    """Mean, interval and deviation in one line."""
    if found.interval is None or found.deviation is None:
        return f"{found.mean:.2f} FPS"
    return f"{found.mean:.2f} FPS, {found.interval[0]:.2f} to {found.interval[1]:.2f}, deviation {found.deviation:.2f}"


if __name__ == "__main__":
    main()
