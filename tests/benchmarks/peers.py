"""Beside what a user would take instead: ``make bench-peers``.

Two networks over the same clip, as files of the same weights: YOLO11n-pose, exported on the spot by Ultralytics with
random weights, through Ultralytics' own predict; YOLOX-tiny and RTMPose-s through rtmlib's PoseTracker, its detector
looking at every frame, and at every tenth as in its own example; and both through this project's pipeline to a broker,
as it comes and otherwise, the detector looking as often as theirs. MediaPipe's Pose does its own job, one person, over
a clip of one person at a time, beside the default network. The legs take turns; processor time a frame hardly depends
on what else the machine does, frames a second do. The peers are installed for it once (7.6 GB), in environments of
their own. The last line is one JSON object of medians over the first leg of each table.
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
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import openvino as ov

from agent.capture import open_source
from agent.config.tree import Camera, Config, InputSize, Log
from agent.control.settings import Settings
from agent.inference.build import build
from agent.inference.devices import open_core
from agent.inference.engine import Engine, build_engine
from agent.inference.pair import Stages
from agent.inference.spec import EngineSpec, Hint, input_size
from agent.observe import logs
from agent.poses.decoders import decoder_for, roles_of
from models.getting.fetch import fetch, gather
from models.getting.own import add
from models.shelf import catalogue
from models.shelf.catalogue import NetworkCard, Precision
from models.shelf.store import Store, models_dir
from tests.benchmarks.run import at_full_speed, pipeline_run
from tests.broker import Broker
from tests.tools import RigError, kept, run

HERE: Final = Path(__file__).parent
PEERS: Final = HERE / "peers.txt"
MEDIAPIPE: Final = HERE / "mediapipe.txt"
"""What each environment of theirs holds."""
FEED: Final = HERE.parents[1] / ".." / "shared" / "data" / "feeds" / "one-by-one-person-detection.mp4"
"""One person after the other."""
NETWORKS: Final = ("yolo", "pair", "mediapipe")
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


@dataclass(frozen=True, slots=True)
class Found:
    """Of one leg."""

    fps: float
    cpu_ms: float
    """Processor time of the whole process a frame."""
    age_ms: float
    """From a frame's capture to its result, the median; what a frame takes of who has one after the other."""
    persons: float


Leg = Callable[[float], Found]
"""Takes seconds."""


def python(wanted: Path = PEERS) -> Path:
    """The interpreter of the environment that has what a file names. Raises RigError."""

    def install(folder: Path) -> None:
        venv.create(folder, with_pip=True)
        pip: list[str | Path] = [folder / "bin" / "python", "-m", "pip", "install", "--quiet"]
        run([*pip, "--disable-pip-version-check", "-r", wanted], wanted.stem)

    return kept(wanted.stem, wanted.read_bytes() + sys.version.encode(), install) / "bin" / "python"


def inside(wanted: Path, folder: Path, *arguments: str | Path) -> Any:
    """What the peers' side answers. Raises RigError with its last words."""
    command = [python(wanted), HERE / "peers_inside.py", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RigError(f"the peers' side fails: {done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


class Bench:
    """Makes legs over one clip, in a folder that is thrown away, to one broker."""

    def __init__(self, folder: Path, port: int, clip: Path) -> None:
        self._folder = folder
        self._port = port
        self._core: ov.Core = open_core({})
        self._clip = clip

    def yolo(self) -> Iterator[tuple[str, Leg]]:
        """Ultralytics' network, theirs first."""
        exported = self._folder / inside(PEERS, self._folder, "export")
        yield "Ultralytics predict as it comes", partial(self._theirs, PEERS, ("ultralytics", exported))
        store, path = Store(self._folder / "models"), self._folder / "peer.toml"
        path.write_text(YOLO)
        yield from self._ours(store, add(path, exported, store, roles_of))

    def pairs(self, periods: Sequence[int]) -> dict[str, Iterator[tuple[str, Leg]]]:
        """The legs of two stages for each period of the detector, by their title."""
        return {f"pair, the detector at every {period}": self._pair(period) for period in periods}

    def _pair(self, period: int) -> Iterator[tuple[str, Leg]]:
        """YOLOX and RTMPose, the detector looking at every so many frames for both, rtmlib's first."""
        store, card = Store(models_dir()), catalogue.network("rtmpose-s")
        fetch(card, store)
        detector, pose = gather(card, store, self._folder / "onnx")
        for backend in ("openvino", "onnxruntime"):
            leg = ("rtmlib", detector, pose, backend, str(period))
            yield f"rtmlib by {backend}", partial(self._theirs, PEERS, leg)
        yield from self._ours(store, card, period)

    def single(self) -> Iterator[tuple[str, Leg]]:
        """Who finds one person, and the network that finds them all."""
        if not self._clip.is_file():
            raise RigError(f"{self._clip.name} is not beside the project: leave mediapipe out of --networks")
        yield "MediaPipe Pose as it comes", partial(self._theirs, MEDIAPIPE, ("mediapipe",))
        store, card = Store(models_dir()), catalogue.network("movenet-multipose")
        fetch(card, store)
        yield from self._ours(store, card)

    def _theirs(self, wanted: Path, leg: Sequence[str | Path], seconds: float) -> Found:
        return Found(**inside(wanted, self._folder, *leg, self._clip, str(seconds)))

    def _ours(self, store: Store, card: NetworkCard, period: int | None = None) -> Iterator[tuple[str, Leg]]:
        comes = Settings.of(Config(camera=at_full_speed(self._clip)))
        other: Hint = "latency" if comes.hint == "throughput" else "throughput"
        for name, hint, precision in (
            (f"ours as it comes ({comes.hint}, {comes.precision})", comes.hint, comes.precision),
            (f"ours, {other}, {comes.precision}", other, comes.precision),
            (f"ours, {comes.hint}, FP16", comes.hint, "FP16"),
        ):
            yield name, partial(self._our, store, card, hint, precision, period)

    def _our(
        self, store: Store, card: NetworkCard, hint: Hint, precision: Precision, period: int | None, seconds: float
    ) -> Found:
        decoder = decoder_for(card, person_score_min=PERSON_SCORE_MIN, persons_max=20)
        spec = EngineSpec(card.name, "CPU", precision, *self._size(store.seeing(card)), hint)

        def make(each: NetworkCard, wanted: EngineSpec) -> Engine:
            xml = store.variant(each.name, wanted.precision)
            return build_engine(self._core, each, xml, wanted, roles_of(each), cache=None)

        engine = build(store, card, spec, Stages(persons_max=20, period=period), make)
        try:
            done = pipeline_run(engine, self._clip, self._port, seconds, decoder)
        finally:
            engine.close()
        return Found(done.fps, done.cpu_ms, done.age_ms, done.persons_mean)

    def _size(self, card: NetworkCard) -> tuple[int, int]:
        """Of the input, as an agent that is told nothing takes it: a short side that follows the picture."""
        camera = Camera(source=str(self._clip), pace="fast", lossless=True)
        with closing(open_source(camera, resolve_clip=Path, notify=lambda _event: None)) as source:
            frame = source.read(10)
        assert frame is not None
        return input_size(InputSize(), card, frame)


def compared(legs: dict[str, Leg], rounds: int, seconds: float) -> dict[str, float]:
    """Run them in turns, print the medians, and return those over the first."""
    found: defaultdict[str, list[Found]] = defaultdict(list)
    for _ in range(rounds):
        for name, leg in legs.items():
            found[name].append(leg(seconds))
    first = found[next(iter(legs))]
    figures: dict[str, float] = {}
    print("| leg | FPS | over the first | CPU ms a frame | over the first | age ms | people |")
    print("|---|---|---|---|---|---|---|")
    for name, runs in found.items():
        faster = statistics.median(mine.fps / its.fps for mine, its in zip(runs, first, strict=True))
        dearer = statistics.median(mine.cpu_ms / its.cpu_ms for mine, its in zip(runs, first, strict=True))
        fps, cpu_ms, age_ms, persons = (
            statistics.median(getattr(each, field) for each in runs) for field in ("fps", "cpu_ms", "age_ms", "persons")
        )
        row = f"{name} | {fps:.1f} | {faster:.2f} | {cpu_ms:.1f} | {dearer:.2f} | {age_ms:.0f} | {persons:.1f}"
        print(f"| {row} |", flush=True)
        figures |= {f"{name}: fps": round(faster, 3), f"{name}: cpu": round(dearer, 3)}
    return figures


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each leg")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--periods", type=int, nargs="+", default=[1, 10], help="of a pair's detector, frames")
    arguments = parser.parse_args()
    logs.setup(Log(level="warning"))
    fetch(catalogue.card("vtest"), Store(models_dir()))
    figures: dict[str, dict[str, float]] = {}
    try:
        with tempfile.TemporaryDirectory() as name, Broker(Path(name)) as broker:
            crowd = Bench(Path(name), broker.port, Store(models_dir()).clip("vtest"))
            alone = Bench(Path(name), broker.port, FEED)
            for network in arguments.networks:
                match network:
                    case "yolo":
                        legs = {network: crowd.yolo()}
                    case "pair":
                        legs = crowd.pairs(arguments.periods)
                    case _:
                        legs = {network: alone.single()}
                for title, each in legs.items():
                    print(f"\n{title}\n")
                    figures[title] = compared(dict(each), arguments.rounds, arguments.seconds)
    except RigError as problem:
        print(problem, file=sys.stderr)
        return 1
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
