"""Beside what a user would take instead: ``make bench-peers``.

Two networks over the same clip, as files of the same weights: YOLO11n-pose, exported on the spot by Ultralytics with
random weights, through Ultralytics' own predict; YOLOX-tiny and RTMPose-s through rtmlib; and both through this
project's pipeline to a broker, as it comes and otherwise. The legs take turns; processor time a frame hardly depends on
what else the machine does, frames a second do. The peers are installed for it once (6.6 GB), in an environment of their
own. The last line is one JSON object of medians over the first leg of each network.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import venv
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import openvino as ov

from agent.config.tree import Log
from agent.inference.build import build
from agent.inference.devices import open_core
from agent.inference.engine import Engine, build_engine
from agent.inference.pair import Stages
from agent.inference.spec import EngineSpec, Hint
from agent.observe import logs
from agent.poses.decoders import decoder_for, roles_of
from models.getting.fetch import fetch, gather
from models.getting.own import add
from models.shelf import catalogue
from models.shelf.catalogue import NetworkCard, Precision
from models.shelf.store import Store, models_dir
from tests.benchmarks.run import pipeline_run
from tests.broker import Broker
from tests.tools import RigError, kept, run

HERE: Final = Path(__file__).parent
WANTED: Final = HERE / "peers.txt"
PERSON_SCORE_MIN: Final = 0.25
"""Ultralytics' own."""
YOLO: Final = """
kind = "network"
name = "peer-yolo"
title = "YOLO11n-pose with random weights"
licence = "AGPL-3.0"
origin = "made on the spot"
[input]
name = "x"
layout = "NCHW"
colour = "RGB"
scale = [255, 255, 255]
height = 384
width = 384
stride = 32
resizable = false
[decoder]
family = "yolo"
nms_iou = 0.7
[decoder.heads]
guesses = { tensor = "guesses", channels = 56 }
[conversion]
kind = "own"
[conversion.network]
FP32 = "yolo11n-pose.xml"
"""
OURS: Final[dict[str, tuple[Hint, Precision]]] = {
    "ours as it comes (latency, FP32)": ("latency", "FP32"),
    "ours, throughput, FP32": ("throughput", "FP32"),
    "ours, throughput, FP16": ("throughput", "FP16"),
}


@dataclass(frozen=True, slots=True)
class Found:
    """Of one leg."""

    fps: float
    cpu_ms: float
    """Processor time of the whole process a frame."""
    persons: float


Leg = Callable[[float], Found]
"""Takes seconds."""


def python() -> Path:
    """The interpreter that has the peers. Raises RigError."""
    return kept("peers", WANTED.read_bytes() + sys.version.encode(), _install) / "bin" / "python"


def _install(folder: Path) -> None:
    venv.create(folder, with_pip=True)
    pip: list[str | Path] = [folder / "bin" / "python", "-m", "pip", "install", "--quiet"]
    run([*pip, "--disable-pip-version-check", "-r", WANTED], "the peers")


def inside(interpreter: Path, folder: Path, *arguments: str | Path) -> Any:
    """What the peers' side answers. Raises RigError with its last words."""
    command = [interpreter, HERE / "peers_inside.py", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RigError(f"the peers' side fails: {done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


class Bench:
    """Makes legs over one clip, in a folder that is thrown away, to one broker."""

    def __init__(self, interpreter: Path, folder: Path, port: int) -> None:
        self._interpreter = interpreter
        self._folder = folder
        self._port = port
        self._core: ov.Core = open_core({})
        self._clip = Store(models_dir()).clip("vtest")

    def yolo(self) -> Iterator[tuple[str, Leg]]:
        """Ultralytics' network, theirs first."""
        exported = self._folder / inside(self._interpreter, self._folder, "export")
        yield "Ultralytics predict as it comes", partial(self._theirs, ("ultralytics", exported))
        store, path = Store(self._folder / "models"), self._folder / "peer.toml"
        path.write_text(YOLO)
        yield from self._ours(store, add(path, exported, store, roles_of))

    def pair(self) -> Iterator[tuple[str, Leg]]:
        """YOLOX and RTMPose, rtmlib's first."""
        store, card = Store(models_dir()), catalogue.network("rtmpose-s")
        fetch(card, store)
        detector, pose = gather(card, store, self._folder / "onnx")
        for backend in ("onnxruntime", "openvino"):
            yield f"rtmlib by {backend}", partial(self._theirs, ("rtmlib", detector, pose, backend))
        yield from self._ours(store, card)

    def _theirs(self, leg: Sequence[str | Path], seconds: float) -> Found:
        return Found(**inside(self._interpreter, self._folder, *leg, self._clip, str(seconds)))

    def _ours(self, store: Store, card: NetworkCard) -> Iterator[tuple[str, Leg]]:
        for name, (hint, precision) in OURS.items():
            yield name, partial(self._our, store, card, hint, precision)

    def _our(self, store: Store, card: NetworkCard, hint: Hint, precision: Precision, seconds: float) -> Found:
        decoder = decoder_for(card, person_score_min=PERSON_SCORE_MIN, persons_max=20)
        front = store.card(card.detector) if card.detector else card
        spec = EngineSpec(card.name, "CPU", precision, front.input.height, front.input.width, hint)

        def make(each: NetworkCard, wanted: EngineSpec) -> Engine:
            xml = store.variant(each.name, wanted.precision)
            return build_engine(self._core, each, xml, wanted, roles_of(each), cache=None)

        engine = build(store, card, spec, Stages(persons_max=20, period=1), make)
        try:
            done = pipeline_run(engine, self._clip, self._port, seconds, decoder)
        finally:
            engine.close()
        return Found(done.fps, done.cpu_ms, done.persons_mean)


def compared(legs: dict[str, Leg], rounds: int, seconds: float) -> dict[str, float]:
    """Run them in turns, print the medians, and return those over the first."""
    found: defaultdict[str, list[Found]] = defaultdict(list)
    for _ in range(rounds):
        for name, leg in legs.items():
            found[name].append(leg(seconds))
    first = found[next(iter(legs))]
    figures: dict[str, float] = {}
    print("| leg | FPS | over the first | CPU ms a frame | over the first | people |\n|---|---|---|---|---|---|")
    for name, runs in found.items():
        faster = statistics.median(mine.fps / its.fps for mine, its in zip(runs, first, strict=True))
        dearer = statistics.median(mine.cpu_ms / its.cpu_ms for mine, its in zip(runs, first, strict=True))
        fps, cpu_ms, persons = (
            statistics.median(getattr(each, field) for each in runs) for field in ("fps", "cpu_ms", "persons")
        )
        print(f"| {name} | {fps:.1f} | {faster:.2f} | {cpu_ms:.1f} | {dearer:.2f} | {persons:.1f} |", flush=True)
        figures |= {f"{name}: fps": round(faster, 3), f"{name}: cpu": round(dearer, 3)}
    return figures


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each leg")
    parser.add_argument("--networks", nargs="+", choices=("yolo", "pair"), default=["yolo", "pair"])
    arguments = parser.parse_args()
    logs.setup(Log(level="warning"))
    fetch(catalogue.card("vtest"), Store(models_dir()))
    figures: dict[str, dict[str, float]] = {}
    try:
        with tempfile.TemporaryDirectory() as name, Broker(Path(name)) as broker:
            bench = Bench(python(), Path(name), broker.port)
            for network in arguments.networks:
                print(f"\n{network}\n")
                legs = dict(bench.yolo() if network == "yolo" else bench.pair())
                figures[network] = compared(legs, arguments.rounds, arguments.seconds)
    except RigError as problem:
        print(problem, file=sys.stderr)
        return 1
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
