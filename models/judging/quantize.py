"""An INT8 variant that finds the people FP32 finds.

Quantising everything loses accuracy to very few layers: in movenet-multipose one of eighty makes up most of it. So:

1. FP32 looks at all frames. Those with people are split into blocks; every third block is held back to judge by.
2. Everything is quantised once. From that each layer is put into FP32 alone, and what it costs in OKS is measured.
3. Layers are taken in the order of their cost per arithmetic, until the costs add up to a budget.
4. These are quantised again with NNCF's bias correction. On the frames held back the result is compared with FP32 as it
   will run; should it fail, a smaller budget is tried.
5. Its speed is measured in turns with FP32's and FP16's.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import openvino as ov

from agent.benchmark.limit import raw_throughput
from agent.capture.frame import Frame
from agent.config.tree import InputSize
from agent.errors import ModelError
from agent.inference.devices import open_core
from agent.inference.engine import Engine, build_engine
from agent.inference.spec import EngineSpec, Hint
from agent.pipeline import infer
from agent.poses.agreement import PEOPLE_MIN, POSSIBLE, Outcome, Tally, Verdict
from agent.poses.decoders import decoder_for
from agent.wire.commands import Agreement
from models.judging import ptq
from models.judging.likeness import Finder, Scene, as_input
from models.judging.run import PERSONS_MAX
from models.judging.sensitivity import Tell, choose, measure
from models.shelf import manifest
from models.shelf.catalogue import NetworkCard, Precision
from models.shelf.manifest import Certificate
from models.shelf.store import Store

BUDGETS = (0.015, 0.005)
"""OKS that the chosen layers, each alone, may cost; tried in turn. Together they cost less than the sum."""
CALIBRATION_MAX, SEARCH_MAX, HELD_MAX = 60, 24, 100
"""Frames to calibrate on, to measure layers on and to judge by: as many as take a few minutes on two cores."""
BLOCKS = 12
"""Of neighbouring frames. Neighbours show the same: they go to one side together."""
ROUNDS, ROUND_S = 6, 0.5
"""Throughput is the best of so many rounds of so many seconds."""

Judge = Callable[[Agreement], Verdict]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Quantized:
    """What came of it. Nothing is installed yet."""

    model: ov.Model
    certificate: Certificate
    verdict: Verdict


def require_one_stage(card: NetworkCard) -> None:
    """Raise ModelError for a network of two stages, or the first stage of one: what it loses cannot be judged yet."""
    if card.detector is not None or card.decoder.detects:
        raise ModelError(
            f"{card.name} is of a network of two stages, whose INT8 cannot be judged yet",
            hint="FP16 runs it: controller set-precision DEVICE FP16",
        )


def quantize(
    card: NetworkCard, store: Store, frames: Sequence[Frame], size: InputSize, judge: Judge, tell: Tell
) -> Quantized:
    """Quantise ``card``'s FP32 network with frames of the scene it is meant for, in the order they were taken.

    Takes a minute or more on two cores, at full load. Raises ModelError when too few people are in view, ConfigError
    for a size the network cannot take, and ModuleNotFoundError without NNCF.
    """
    require_one_stage(card)
    core = open_core({})
    finder = Finder(core, card)
    model = core.read_model(store.variant(card.name, "FP32"))
    inputs = [as_input(frame, card, size) for frame in frames]
    calibration, held = split(_scenes(finder, model, inputs, _within(tell, 0, 0.1)))
    pictures = evenly(calibration, CALIBRATION_MAX)
    layers = measure(finder, card, model, pictures, evenly(calibration, SEARCH_MAX), _within(tell, 0.1, 0.75))
    with tempfile.TemporaryDirectory(prefix="edgepose-") as folder:
        xml = Path(folder) / f"{card.name}.xml"
        for number, budget in enumerate(BUDGETS):
            chosen = choose(layers, budget)
            tell(f"quantising {len(chosen)} of {len(layers)} layers", 0.75 + 0.05 * number)
            network = ptq.quantised(model, card, [scene.frame.image for scene in pictures], only=chosen)
            ov.save_model(network, xml, compress_to_fp16=False)
            agreement = _compare(core, card, xml, evenly(held, HELD_MAX))
            if (verdict := judge(agreement)).outcome is Outcome.PASSED:
                break
        tell("measuring its speed", 0.9)
        speeds = _speeds(core, card, _variants(card, store) | {"INT8": xml}, held[0].frame)
    certificate = Certificate(
        agreement=manifest.Agreement(**agreement.model_dump()),
        height=held[0].frame.image.shape[0],
        width=held[0].frame.image.shape[1],
        calibration_frames=len(pictures),
        layers=len(layers),
        layers_quantized=len(chosen),
        speedup=speeds["INT8"] / speeds["FP32"],
        speedup_over_fp16=speeds["INT8"] / speeds["FP16"] if "FP16" in speeds else None,
        rest_precision=core.get_property("CPU", "INFERENCE_PRECISION_HINT").get_type_name().upper(),
        fp32_sha256=store.manifest(card.name).weights_sha256("FP32"),
        nncf_version=ptq.version(),
        openvino_version=ov.__version__,
        edgepose_version=version("edgepose"),
        created_at=datetime.now(UTC),
    )
    return Quantized(network, certificate, verdict)


def install(quantized: Quantized, card: NetworkCard, store: Store) -> Path:
    """Make it the INT8 variant of an installed network, in place of what there was; the .xml. Raises ModelError.

    The entry is the old one or the new one, whatever happens.
    """
    try:
        with store.locked(card.name, lambda: None), store.building(card.name) as scratch:
            built = scratch / "INT8"
            built.mkdir()
            ov.save_model(quantized.model, built / f"{card.name}.xml", compress_to_fp16=False)
            return store.add_variant(card.name, "INT8", built, quantized.certificate)
    except (OSError, RuntimeError) as error:
        raise ModelError(
            f"the INT8 variant of {card.name} cannot be written to {store.folder}: {error}", hint="make room there"
        ) from error


def split(scenes: Sequence[Scene]) -> tuple[list[Scene], list[Scene]]:
    """Two thirds to calibrate on, one third to judge by. Raises ModelError when too few people are in view."""
    sides: tuple[list[Scene], list[Scene]] = ([], [])
    for number, scene in enumerate(scenes):
        sides[number * BLOCKS // len(scenes) % 3 == 2].append(scene)
    calibration, held = sides
    if (people := sum(scene.certain for scene in held)) < PEOPLE_MIN:
        raise ModelError(
            f"too few people to judge by: {people} on the {len(held)} frames held back, {PEOPLE_MIN} needed",
            hint="give more frames with people in view: a third of them is held back",
        )
    return calibration, held


def evenly(items: Sequence[T], most: int) -> list[T]:
    """At most ``most`` of ``items``, from all along."""
    count = min(len(items), most)
    return [items[number * len(items) // count] for number in range(count)]


def _scenes(finder: Finder, model: ov.Model, inputs: Sequence[Frame], tell: Tell) -> list[Scene]:
    """The frames with people in them."""
    done = 0

    def told() -> None:
        nonlocal done
        done += 1
        tell("finding people with FP32", done / len(inputs))

    found = finder.find(model, inputs, told)
    scenes = [Scene(frame, people) for frame, people in zip(inputs, found, strict=True)]
    return [scene for scene in scenes if scene.certain]


def _within(tell: Tell, start: float, end: float) -> Tell:
    return lambda step, fraction: tell(step, start + (end - start) * fraction)


def _variants(card: NetworkCard, store: Store) -> dict[Precision, Path]:
    compared: tuple[Precision, ...] = ("FP32", "FP16")
    present = store.precisions(card.name)
    return {precision: store.variant(card.name, precision) for precision in compared if precision in present}


def _engine(core: ov.Core, card: NetworkCard, precision: Precision, xml: Path, frame: Frame, hint: Hint) -> Engine:
    height, width = frame.image.shape[:2]
    spec = EngineSpec(card.name, "CPU", precision, height, width, hint)
    roles = decoder_for(card, person_score_min=POSSIBLE, persons_max=PERSONS_MAX).roles
    return build_engine(core, card, xml, spec, roles, cache=None)


def _compare(core: ov.Core, card: NetworkCard, xml: Path, scenes: Sequence[Scene]) -> Agreement:
    """As the agent will run it, with the processor's own precision where it is not quantised."""
    decoder = decoder_for(card, person_score_min=POSSIBLE, persons_max=PERSONS_MAX)
    tally = Tally()
    with ExitStack() as stack:
        engines: dict[tuple[int, ...], Engine] = {}
        for scene in scenes:
            size = scene.frame.image.shape
            if size not in engines:
                engines[size] = stack.enter_context(_engine(core, card, "INT8", xml, scene.frame, "latency"))
            tally.add(scene.people, infer(engines[size], decoder, scene.frame))
    return tally.agreement()


def _speeds(
    core: ov.Core, card: NetworkCard, variants: Mapping[Precision, Path], frame: Frame
) -> dict[Precision, float]:
    """Inferences a second, measured in turns: what else the processor does strikes all alike."""
    with ExitStack() as stack:
        engines = {
            precision: stack.enter_context(_engine(core, card, precision, xml, frame, "throughput"))
            for precision, xml in variants.items()
        }
        rounds = [
            {precision: raw_throughput(engine, ROUND_S) for precision, engine in engines.items()} for _ in range(ROUNDS)
        ]
    return {precision: max(taken[precision] for taken in rounds) for precision in engines}
