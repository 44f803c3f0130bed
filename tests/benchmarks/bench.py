"""Speed as ratios, measured alternately in one run: ``make bench``.

Nothing here passes or fails. What the machine does besides blurs single figures, so each ratio is taken between
neighbours in time, repeated, and printed as median with its spread. The last line is one JSON object of the medians.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import openvino as ov

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
from tests.benchmarks.run import age_overhead_ms, decoder_ms, pipeline_run, raw_leg
from tests.broker import Broker
from tests.cameras.clips import run as encode
from tests.poses.movenet_heads import draw_heads

NETWORK = "movenet-multipose"
SIZE = 256
H264 = ("-c:v", "libx264", "-preset", "veryfast", "-b:v", "4M", "-g", "50", "-pix_fmt", "yuv420p")


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


def pipeline_over_raw(
    engine: Engine, clip: Path, port: int, rounds: int, seconds: float, *, what: str
) -> tuple[float, float]:
    """The whole pipeline beside the raw inference of the same compiled network just before and after.

    The ratio of their FPS, and milliseconds of processor time a frame of the application's own threads, less the calls
    that start an inference and wait for it, which raw inference makes as well. They hardly depend on what else the
    machine does. The difference to raw inference, which is printed, does: with two cores it takes seconds of an idle
    machine to tell two milliseconds from those of a network of thirty.
    """
    raw_leg(engine, 1.0)  # warm-up, not counted
    ratios: list[float] = []
    overheads: list[float] = []
    raws = [raw_leg(engine, seconds)]
    runs = []
    for _ in range(rounds):
        runs.append(pipeline_run(engine, clip, port, seconds))
        raws.append(raw_leg(engine, seconds))
        ratios.append(runs[-1].fps / ((raws[-2].fps + raws[-1].fps) / 2))
        overheads.append(runs[-1].cpu_ms - (raws[-2].cpu_ms + raws[-1].cpu_ms) / 2)
    name = f"{what} ({engine.facts.inference_precision})"
    report(f"{name} raw", [raw.fps for raw in raws], "FPS")
    report(f"{name} raw, CPU a frame", [raw.cpu_ms for raw in raws], "ms")
    report(f"{name} pipeline", [run.fps for run in runs], "FPS")
    report(f"{name} pipeline, CPU a frame", [run.cpu_ms for run in runs], "ms")
    report(f"{name} persons", [run.persons_mean for run in runs])
    for stage in ("capture", "prepare", "decode", "publish"):
        report(f"{name} {stage}", [run.stages_ms[stage] for run in runs], "ms")
    report(f"{name} CPU over raw inference", overheads, "ms")
    report(f"{name} CPU of our threads", [run.own_cpu_ms for run in runs], "ms")
    own = report(f"{name} without calls to infer", [run.own_cpu_ms - run.calling_ms for run in runs], "ms")
    return report(f"{name} pipeline over raw", ratios), own


def speeds(core: ov.Core, store: Store, port: int, rounds: int, seconds: float, folder: Path) -> dict[str, float]:
    """The pipeline beside raw inference: at both precisions, of a large picture, and as it comes."""
    figures: dict[str, float] = {}
    clip = store.clip("vtest")
    precisions: dict[str, Precision] = {"fp32": "FP32", "bf16": "FP16"}
    for key, precision in precisions.items():
        with engine_of(core, store, precision, "throughput") as engine:
            ratio, overhead = pipeline_over_raw(engine, clip, port, rounds, seconds, what=precision)
            figures |= {f"pipeline_over_raw_{key}": ratio, f"overhead_cpu_ms_{key}": overhead}
    figures["overhead_cpu_ms"] = max(figures["overhead_cpu_ms_fp32"], figures["overhead_cpu_ms_bf16"])
    large = folder / "1080p.mp4"
    encode("-i", str(clip), "-frames:v", "300", "-vf", "scale=1920:1080", *H264, str(large))
    with engine_of(core, store, "FP32", "throughput") as engine:
        _ratio, overhead = pipeline_over_raw(engine, large, port, rounds, seconds, what="1080p")
    decoding = report("1080p H.264, the decoder alone", [decoder_ms(large) for _ in range(3)], "ms")
    figures["overhead_cpu_ms_1080p"] = overhead - decoding
    with engine_of(core, store, "FP32", "latency") as engine:
        ratio, overhead = pipeline_over_raw(engine, clip, port, rounds, seconds, what="as it comes")
    return figures | {"default_over_one_request": ratio, "overhead_cpu_ms_default": overhead}


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
    parser.add_argument("--rounds", type=int, default=7, help="pairs of raw and pipeline per precision")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each leg")
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
