"""Speed as ratios, measured alternately in one run: ``make bench``.

Nothing here passes or fails. What the machine does besides blurs single figures, so each ratio is taken between
neighbours in time, repeated, and printed as median with its spread. Of a figure that has a bar it is told whether the
bar is kept, missed, or cannot be told, by an interval of its median. The last line is one JSON object of the medians.
"""

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import openvino as ov

from agent.benchmark.load import LoadMeter
from agent.config.tree import Log
from agent.inference.devices import open_core
from agent.inference.engine import Engine, build_engine
from agent.inference.letterbox import Letterbox
from agent.inference.spec import EngineSpec
from agent.observe import logs
from agent.poses.movenet import MoveNetDecoder
from models.getting.fetch import fetch
from models.shelf import catalogue
from models.shelf.catalogue import Precision
from models.shelf.store import Store, models_dir
from tests.benchmarks.process import cli_import_seconds, resident_mb, start_seconds
from tests.benchmarks.run import Flow, age_overhead_ms, at_full_speed, decoder_ms, raw_leg
from tests.broker import Broker
from tests.cameras.clips import run as encode
from tests.poses.movenet_heads import draw_heads

Taken = TypeVar("Taken")
NETWORK = "movenet-multipose"
SIZE = 256
BARS: Final = {
    "pipeline_over_raw_fp32": (0.95, True),
    "pipeline_over_raw_bf16": (0.92, True),
    "overhead_cpu_ms": (1.0, False),
    "overhead_cpu_ms_1080p": (1.5, False),
    "default_over_one_request": (0.97, True),
}
"""What is to be reached, on a processor whose raw inference makes 92 and 165 FPS; whether at least, or at most."""
H264 = ("-c:v", "libx264", "-preset", "veryfast", "-b:v", "4M", "-g", "50", "-pix_fmt", "yuv420p")


@dataclass(slots=True)
class Turns:
    """The pipeline and raw inference, in turns; a place of each list is a round."""

    ratios: list[float] = field(default_factory=list)
    """Of the pipeline's frames a second to those of raw inference just before and after."""
    quiet: list[bool] = field(default_factory=list)
    """Whether others left the machine to the legs of the ratio: who computes in more threads is given more of it."""
    own_ms: list[float] = field(default_factory=list)
    """Processor time a frame of the application's threads, less the calls that raw inference makes as well."""

    def told(self) -> list[float]:
        """The ratios that can be believed."""
        return [ratio for ratio, quiet in zip(self.ratios, self.quiet, strict=True) if quiet]


@contextmanager
def engine_of(core: ov.Core, store: Store, precision: Precision, hint: str) -> Iterator[Engine]:
    """The default network at 256x256 on the CPU."""
    spec = EngineSpec(NETWORK, "CPU", precision, SIZE, SIZE, "throughput" if hint == "throughput" else "latency")
    xml = store.variant(NETWORK, precision)
    card = catalogue.network(NETWORK)
    with build_engine(core, card, xml, spec, MoveNetDecoder.roles, cache=None) as engine:
        yield engine


def report(name: str, values: list[float], unit: str = "") -> float:
    """Print median and spread; return the median."""
    median = statistics.median(values)
    print(f"{name:34} {median:8.3f} {unit:5} spread {min(values):.3f} .. {max(values):.3f} of {len(values)}")
    return median


def interval(values: list[float]) -> tuple[float, float]:
    """What holds the median of all there could be in 95 of 100 cases, by ranks alone; without ends for fewer than six.

    On a machine that does other things as well, single ratios have no shape that a mean could be told by.
    """
    ordered, count = sorted(values), len(values)
    outside, rank = 0.0, 0
    while 2 * (outside := outside + math.comb(count, rank) / 2**count) <= 0.05:
        rank += 1
    return (ordered[rank - 1], ordered[-rank]) if rank else (-math.inf, math.inf)


def told(name: str, low: float, high: float) -> str:
    """Whether a bar is kept, by where the figure lies."""
    bar, least = BARS[name]
    kept, missed = (low >= bar, high < bar) if least else (high <= bar, low > bar)
    return "kept" if kept else "MISSED" if missed else "cannot be told"


def judged(name: str, values: list[float], believed: list[float] | None = None) -> dict[str, float]:
    """Print whether the bar of a figure is kept; its median and the ends of its interval, where that has any.

    ``believed`` are those of its values that the interval is of; all where none are given.
    """
    counted = values if believed is None else believed
    low, high = interval(counted)
    bar, least = BARS[name]
    print(
        f"{name}: {'at least' if least else 'at most'} {bar}: {told(name, low, high)} "
        f"({low:.3f} .. {high:.3f}, {len(counted)} of {len(values)} rounds)"
    )
    figures = {name: statistics.median(values), f"{name}_low": low, f"{name}_high": high}
    return {key: value for key, value in figures.items() if math.isfinite(value)}


def pipeline_over_raw(engine: Engine, clip: Path, port: int, rounds: int, seconds: float, *, what: str) -> Turns:
    """The whole pipeline beside the raw inference of the same compiled network just before and after, in short turns.

    Processor time of the application's own threads hardly depends on what else the machine does. The difference to raw
    inference, which is printed, does: with two cores it takes seconds of an idle machine to tell two milliseconds from
    those of a network of thirty. So does the ratio.
    """
    meter = LoadMeter()

    def quietly(leg: Callable[[float], Taken]) -> tuple[Taken, bool]:
        meter.start()
        taken = leg(seconds)
        return taken, meter.stop().disturbance() is None

    raw_leg(engine, 1.0)  # warm-up, not counted
    turns, overheads, runs = Turns(), [], []
    with Flow(engine, at_full_speed(clip), port) as flow:
        flow.leg(1.0)
        raws = [quietly(lambda time_s: raw_leg(engine, time_s))]
        for _ in range(rounds):
            run, quiet = quietly(flow.leg)
            raws.append(quietly(lambda time_s: raw_leg(engine, time_s)))
            (before, quiet_before), (after, quiet_after) = raws[-2:]
            turns.ratios.append(run.fps / ((before.fps + after.fps) / 2))
            turns.quiet.append(quiet_before and quiet and quiet_after)
            turns.own_ms.append(run.own_cpu_ms - run.calling_ms)
            overheads.append(run.cpu_ms - (before.cpu_ms + after.cpu_ms) / 2)
            runs.append(run)
    name = f"{what} ({engine.facts.inference_precision})"
    report(f"{name} raw", [raw.fps for raw, _ in raws], "FPS")
    report(f"{name} raw, CPU a frame", [raw.cpu_ms for raw, _ in raws], "ms")
    report(f"{name} pipeline", [run.fps for run in runs], "FPS")
    report(f"{name} pipeline, CPU a frame", [run.cpu_ms for run in runs], "ms")
    report(f"{name} persons", [run.persons_mean for run in runs])
    for stage in ("capture", "prepare", "decode", "publish"):
        report(f"{name} {stage}", [run.stages_ms[stage] for run in runs], "ms")
    report(f"{name} CPU over raw inference", overheads, "ms")
    report(f"{name} CPU of our threads", [run.own_cpu_ms for run in runs], "ms")
    report(f"{name} without calls to infer", turns.own_ms, "ms")
    report(f"{name} pipeline over raw", turns.ratios)
    return turns


def speeds(core: ov.Core, store: Store, port: int, rounds: int, seconds: float, folder: Path) -> dict[str, float]:
    """The pipeline beside raw inference: at both precisions, of a large picture, and as it comes."""
    figures: dict[str, float] = {}
    clip = store.clip("vtest")
    precisions: dict[str, Precision] = {"fp32": "FP32", "bf16": "FP16"}
    costs: list[list[float]] = []
    for key, precision in precisions.items():
        with engine_of(core, store, precision, "throughput") as engine:
            turns = pipeline_over_raw(engine, clip, port, rounds, seconds, what=precision)
        figures |= judged(f"pipeline_over_raw_{key}", turns.ratios, turns.told())
        figures[f"overhead_cpu_ms_{key}"] = statistics.median(turns.own_ms)
        costs.append(turns.own_ms)
    figures |= judged("overhead_cpu_ms", max(costs, key=statistics.median))
    large = folder / "1080p.mp4"
    encode("-i", str(clip), "-frames:v", "300", "-vf", "scale=1920:1080", *H264, str(large))
    with engine_of(core, store, "FP32", "throughput") as engine:
        turns = pipeline_over_raw(engine, large, port, rounds, seconds, what="1080p")
    decoding = report("1080p H.264, the decoder alone", [decoder_ms(large) for _ in range(3)], "ms")
    figures |= judged("overhead_cpu_ms_1080p", [cost - decoding for cost in turns.own_ms])
    with engine_of(core, store, "FP32", "latency") as engine:
        turns = pipeline_over_raw(engine, clip, port, rounds, seconds, what="as it comes")
    figures |= judged("default_over_one_request", turns.ratios, turns.told())
    return figures | {"overhead_cpu_ms_default": statistics.median(turns.own_ms)}


def decode_ms(people: int, rounds: int = 200) -> float:
    """Time of decoding 64x64 heads with this many people, all found."""
    random = np.random.default_rng(people)
    columns = int(np.ceil(np.sqrt(people)))
    step = SIZE / columns
    corners = np.array([(index % columns, index // columns) for index in range(people)]) * step
    drawn = (corners[:, None] + random.random((people, 17, 2)) * step * 0.95).astype(np.float32)
    heads = draw_heads(drawn, np.ones((people, 17), bool), SIZE, SIZE)
    letterbox = Letterbox.fit((0, 0, 768, 768), (SIZE, SIZE))
    decoder = MoveNetDecoder(person_score_min=0.2, persons_max=people)
    assert len(decoder.decode(heads, letterbox)) == people
    return report(f"decode, {people} people", timed(lambda: decoder.decode(heads, letterbox), rounds), "ms")


def timed(call: Callable[[], object], rounds: int) -> list[float]:
    """Milliseconds of each call."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        times.append((time.perf_counter() - began) * 1e3)
    return times


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="pairs of raw and pipeline per precision")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each leg")
    parser.add_argument("--rss-seconds", type=float, default=60.0, help="how long the agent's memory is watched")
    parser.add_argument("--speed", action="store_true", help="the pipeline beside raw inference, and nothing else")
    arguments = parser.parse_args()

    logs.setup(Log(level="warning"))
    store = Store(models_dir())
    for name in (NETWORK, "vtest"):
        fetch(catalogue.card(name), store)
    core = open_core({})
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, Broker(Path(folder)) as broker:
        figures |= speeds(core, store, broker.port, arguments.rounds, arguments.seconds, Path(folder))
        if arguments.speed:
            print(json.dumps({name: round(value, 3) for name, value in figures.items()}))
            return
        figures["decode_ms_5"] = decode_ms(5)
        figures["decode_ms_20"] = decode_ms(20)
        with engine_of(core, store, "FP32", "latency") as engine:
            ages = [age_overhead_ms(engine, store.clip("vtest"), broker.port, seconds=10) for _ in range(3)]
        figures["age_overhead_ms_p95"] = report("age minus inference, p95, 10 fps", ages, "ms")
        figures["rss_mb"] = resident_mb(broker.port, arguments.rss_seconds)
        figures["start_s"] = report("start to first pose", start_seconds(broker.port, 5), "s")
    figures["cli_import_s"] = report("import of controller.cli", cli_import_seconds(7), "s")
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
