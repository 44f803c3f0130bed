"""What an input size buys and costs, and what a precision does to accuracy: two tables for docs/accuracy.md.

``python -m tests.benchmarks.input_sizes`` prints markdown. Sizes are the long side of the default network's input; the
short side follows the picture. People are counted on the sample clip at the agent's default threshold. Speed is that
of the compiled network alone on the CPU: inferences per second under a throughput hint, and the median time of one
under a latency hint, each the best of some rounds. Accuracy wants COCO-annotated pictures beside the checkout and is
left out without them.
"""

import argparse
import statistics
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import openvino as ov

from agent.benchmark.limit import raw_throughput
from agent.capture import open_source
from agent.capture.frame import EndOfSource, Frame
from agent.config.tree import Camera, InputSize, Log
from agent.errors import ModelError
from agent.inference.devices import open_core
from agent.inference.engine import Engine, build_engine
from agent.inference.letterbox import prepare
from agent.inference.spec import EngineSpec, Hint, input_size
from agent.observe import logs
from agent.poses.decoders import decoder_for
from models.getting.fetch import fetch
from models.judging.evaluate import evaluate
from models.judging.run import Runner
from models.shelf import catalogue
from models.shelf.store import Store, models_dir

NETWORK = "movenet-multipose"
SIZES = (256, 320, 384, 448, 512)
SCORE_MIN = 0.2
"""The agent's default."""
PICTURES = Path(__file__).parents[2] / ".." / "shared" / "data" / "coco-mini"


def frames_of_clip(store: Store, every: int) -> Iterator[Frame]:
    """Every so many frames of the sample clip."""
    camera = Camera(source="clip:vtest", pace="fast", lossless=True)
    with closing(open_source(camera, resolve_clip=store.clip, notify=lambda _event: None)) as source:
        number = 0
        while True:
            try:
                frame = source.read(5.0)
            except EndOfSource:
                return
            assert frame is not None
            if number % every == 0:
                yield frame
            number += 1


def persons_found(store: Store, long_side: int, every: int) -> float:
    """People per frame of the clip, mean."""
    size = InputSize(long_side=long_side)
    with Runner(NETWORK, store, precision="FP32", device="CPU", size=size, score_min=SCORE_MIN) as runner:
        return statistics.mean(len(runner.poses(frame)) for frame in frames_of_clip(store, every))


@contextmanager
def engine_of(core: ov.Core, store: Store, long_side: int, frame: Frame, hint: Hint) -> Iterator[Engine]:
    """The default network at FP32, at the clip's aspect."""
    card = store.card(NETWORK)
    height, width = input_size(InputSize(long_side=long_side), card, frame)
    spec = EngineSpec(NETWORK, "CPU", "FP32", height, width, hint)
    roles = decoder_for(card, person_score_min=SCORE_MIN, persons_max=20).roles
    with build_engine(core, card, store.variant(NETWORK, "FP32"), spec, roles, cache=None) as engine:
        yield engine


def latency_ms(engine: Engine, frame: Frame, inferences: int) -> float:
    """Median time of one inference with nothing else in flight."""
    slot = engine.acquire(5.0)
    assert slot is not None
    prepare(frame, slot.input)
    times = []
    for _ in range(inferences + 5):
        slot.start()
        slot.wait()
        times.append(slot.latency_ms)
    engine.release(slot)
    return statistics.median(times[5:])


def accuracy(store: Store, name: str, precision: catalogue.Precision, size: InputSize) -> tuple[str, ...]:
    """AP, AP50, AP75, AR and what the network really ran in; dashes without the pictures."""
    annotations = PICTURES / "person_keypoints.json"
    if not annotations.is_file():
        return ("-",) * 5
    given = evaluate(
        name, store, precision=precision, device="CPU", size=size, images=PICTURES, annotations=annotations
    )
    return *(f"{figure:.3f}" for figure in (given.ap, given.ap50, given.ap75, given.ar)), given.inference_precision


def print_row(*cells: object) -> None:
    """A row of a markdown table."""
    print("|", " | ".join(map(str, cells)), "|", flush=True)


@dataclass(frozen=True, slots=True)
class Speed:
    """One input size on the CPU."""

    shape: str
    fps: float
    latency_ms: float


def speeds(store: Store, rounds: int, seconds: float) -> dict[int, Speed]:
    """The best of many short rounds, the sizes in turn: what else the machine does can only slow one down."""
    core = open_core({})
    frame = next(frames_of_clip(store, 1))
    fps: dict[int, list[float]] = {long_side: [] for long_side in SIZES}
    latencies: dict[int, list[float]] = {long_side: [] for long_side in SIZES}
    with ExitStack() as engines:
        busy = {side: engines.enter_context(engine_of(core, store, side, frame, "throughput")) for side in SIZES}
        prompt = {side: engines.enter_context(engine_of(core, store, side, frame, "latency")) for side in SIZES}
        for _ in range(rounds):
            for side in SIZES:
                fps[side].append(raw_throughput(busy[side], seconds))
                latencies[side].append(latency_ms(prompt[side], frame, 15))
        shapes = {side: f"{engine.spec.height}x{engine.spec.width}" for side, engine in prompt.items()}
    return {side: Speed(shapes[side], max(fps[side]), min(latencies[side])) for side in SIZES}


def sizes_table(store: Store, rounds: int, seconds: float, every: int) -> None:
    """One row per input size."""
    print_row("long side", "height x width", "AP", "people per frame", "FPS", "latency ms")
    print_row(*["---"] * 6)
    for long_side, speed in speeds(store, rounds, seconds).items():
        ap = accuracy(store, NETWORK, "FP32", InputSize(long_side=long_side))[0]
        people = persons_found(store, long_side, every)
        print_row(long_side, speed.shape, ap, f"{people:.2f}", f"{speed.fps:.1f}", f"{speed.latency_ms:.1f}")


def precisions_table(store: Store) -> None:
    """One row per installed network of the catalogue, precision and input size it is used at."""
    print_row("network", "precision", "runs in", "input", "AP", "AP50", "AP75", "AR")
    print_row(*["---"] * 8)
    for card in catalogue.cards().values():
        if not isinstance(card, catalogue.NetworkCard) or card.name not in store.names():
            continue
        for precision in store.precisions(card.name):
            for label, size in inputs_of(card):
                try:
                    *figures, runs_in = accuracy(store, card.name, precision, size)
                except ModelError as error:  # no decoder, for example: a row of its own says so
                    print_row(card.name, precision, error)
                    continue
                print_row(card.name, precision, runs_in, label, *figures)


def inputs_of(card: catalogue.NetworkCard) -> Iterator[tuple[str, InputSize]]:
    """Its own size, and a long side of 384 where it takes one."""
    yield f"{card.input.height}x{card.input.width}", InputSize()
    if card.input.resizable:
        yield "long side 384", InputSize(long_side=384)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="in which the sizes take turns; the best counts")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each throughput figure")
    parser.add_argument("--every", type=int, default=5, help="count people on every so many frames of the clip")
    arguments = parser.parse_args()

    logs.setup(Log(level="warning"))
    store = Store(models_dir())
    for name in (NETWORK, "vtest"):
        fetch(catalogue.card(name), store)
    if not PICTURES.is_dir():
        print(f"no accuracy: {PICTURES} is missing", file=sys.stderr)
    sizes_table(store, arguments.rounds, arguments.seconds, arguments.every)
    print()
    precisions_table(store)


if __name__ == "__main__":
    main()
