"""Whether a study can be fooled on this box: ``make bench-study``.

Real studies of one processor under two names, first of equals, then of two input sizes that differ in speed, while a
second process comes and goes. Of equals none may win; where there is a difference the faster one is to, unless the box
was too busy to tell. The last line is one JSON object.
"""

import argparse
import json
import multiprocessing
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import cv2

from agent.benchmark import sweep
from agent.benchmark.clips import Clips
from agent.benchmark.limit import Limits
from agent.benchmark.rows import recipes
from agent.benchmark.runs import Bench
from agent.benchmark.sweep import Studying, describe
from agent.config.tree import Config, Log
from agent.control.asking import Box
from agent.control.inventory import installed
from agent.control.samples import Samples
from agent.control.workshop import Workshop
from agent.inference.devices import open_core
from agent.observe import logs
from agent.observe.host import host_info
from agent.wire.commands import Sweep
from agent.wire.study import Bar, Study
from models.getting.fetch import fetch
from models.shelf import catalogue
from models.shelf.store import Store, models_dir

NETWORK: Final = "movenet-multipose"
EQUAL: Final = {"devices": ("CPU", "SIMCPU")}
DIFFERENT: Final = {"devices": ("CPU",), "long_sides": (256, 320)}
STAYS_S: Final = (1.0, 6.0)
AWAY_S: Final = (4.0, 20.0)


def busy(seed: int) -> None:
    """Come and go, using one core; runs until it is ended."""
    chance = random.Random(seed)
    while True:
        time.sleep(chance.uniform(*AWAY_S))
        until_s = time.monotonic() + chance.uniform(*STAYS_S)
        while time.monotonic() < until_s:
            sum(range(10_000))


@contextmanager
def another_process(seed: int) -> Iterator[None]:
    """Let it come and go."""
    process = multiprocessing.get_context("spawn").Process(target=busy, args=(seed,), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def studied(config: Config, args: Sweep) -> Study:
    """One study, as the agent makes it."""
    store, core = Store(config.paths.models), open_core(config.devices.aliases)
    box = Box("bench", ("CPU", "SIMCPU"), installed(store))
    never = threading.Event()
    with Clips(config, store, Samples()).footage(args, lambda _what: None, never) as footage:
        bench = Bench(config, store, Workshop(config, core, store), Limits(core), box, footage)
        empty = Study(
            device_id="bench",
            started_at=datetime.now(UTC),
            agent_version="0",
            openvino_version="0",
            opencv_version=cv2.__version__,
            host=host_info(),
            devices={"CPU": "a processor", "SIMCPU": "a processor"},
            model=NETWORK,
            input=(256, 256),
            gflops_per_frame=1.0,
            clip=footage.clip,
            bar=Bar(missed_max=1.0, oks_min=0.0),
            asked={},
        )
        studying = Studying(
            bench, empty, begin=lambda _p: True, keep=lambda _s: None, tell=lambda _w, _p: None, cancelled=never
        )
        return studying.run(recipes(args, NETWORK), args)


def told(study: Study) -> str:
    """Rows and winner in a line."""
    rows = (
        f"{describe(row.recipe)} {row.fps.mean:.1f} FPS, {row.disturbed_runs} disturbed" if row.fps else row.status
        for row in study.rows
    )
    winner = None if study.best_throughput is None else describe(study.rows[study.best_throughput].recipe)
    return f"{'; '.join(rows)}: {winner or 'not decided'}"


def names(kind: dict[str, object], arguments: argparse.Namespace, config: Config) -> Sequence[int | None]:
    """Winners of the studies of one kind."""
    found: list[int | None] = []
    for seed in range(arguments.studies):
        args = Sweep.model_validate(
            {"precisions": ("FP32",), "runs": arguments.runs, "frames": arguments.frames, "clip": "vtest"}
            | {"baseline_runs": 0}
            | kind
        )
        with another_process(seed):
            study = studied(config, args)
        print(told(study), flush=True)
        found.append(study.best_throughput)
    return found


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=3, help="of each kind; the simulation makes twenty")
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--frames", type=int, default=60, help="of each run")
    arguments = parser.parse_args()
    logs.setup(Log(level="error"))
    cv2.setNumThreads(1)
    sweep.LIMIT_S = 0.2
    for name in (NETWORK, "vtest"):
        fetch(catalogue.card(name), Store(models_dir()))
    with tempfile.TemporaryDirectory() as folder:
        config = Config.model_validate(
            {
                "paths": {"state": Path(folder) / "state", "cache": Path(folder) / "cache"},
                "devices": {"aliases": {"SIMCPU": "CPU"}},
                "switch": {"missed_max": 1.0, "oks_min": 0.0},
            }
        )
        equal, different = (names(dict(kind), arguments, config) for kind in (EQUAL, DIFFERENT))
    wrong = sum(winner is not None for winner in equal) + sum(winner == 1 for winner in different)
    right = sum(winner == 0 for winner in different)
    figures = {"studies": arguments.studies, "wrong": wrong, "equal_named": len(equal) - list(equal).count(None)}
    print(json.dumps(figures | {"difference_found": right}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
