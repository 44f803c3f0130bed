"""An INT8 variant that finds the people FP32 finds.

Quantising everything loses accuracy to very few layers: in movenet-multipose one of eighty makes up most of it. So:

1. FP32 looks at all frames. Those with people are split into blocks; every third block is held back to judge by.
2. Everything is quantised once. From that each layer is put into FP32 alone, and what it costs in OKS is measured.
3. Layers are taken in the order of their cost per arithmetic, until the costs add up to a budget.
4. These are quantised again with NNCF's bias correction. On the frames held back the result is compared with FP32 as it
   will run; should it fail, a smaller budget is tried.
5. Its speed is measured in turns with FP32's and FP16's.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import openvino as ov

from agent.benchmark.limit import raw_throughput
from agent.capture.frame import Frame
from agent.config.tree import InputSize
from agent.errors import ModelError
from agent.inference.build import build
from agent.inference.devices import open_core
from agent.inference.engine import Engine, build_engine
from agent.inference.network import Network
from agent.inference.pair import Stages
from agent.inference.spec import EngineSpec, input_size
from agent.pipeline import infer
from agent.poses.agreement import PEOPLE_MIN, POSSIBLE, Outcome, Tally, Verdict
from agent.poses.decoders import decoder_for, roles_of
from agent.poses.skeleton import Poses
from agent.scratch import scratch
from agent.wire.commands import Agreement
from models.getting import convert
from models.getting.progress import Tell
from models.judging import ptq
from models.judging.likeness import Finder, Scene, as_input, crops_of
from models.judging.run import PERSONS_MAX
from models.judging.sensitivity import Layer, choose, measure
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

    name: str
    model: ov.Model
    certificate: Certificate
    verdict: Verdict
    """Of the whole, where it has two stages."""
    detector: "Quantized | None" = None
    """The first stage, of two."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A network that is quantised by itself: the only one, or one of two."""

    card: NetworkCard
    model: ov.Model
    scenes: Sequence[Scene]
    """To calibrate on, inputs all, with what FP32 makes of them."""
    layers: tuple[Layer, ...]

    @property
    def frame(self) -> Frame:
        """An input."""
        return self.scenes[0].frame


def require_quantizable(card: NetworkCard) -> None:
    """Raise ModelError for the first of two stages: what it loses shows in the poses alone."""
    if card.decoder.detects:
        raise ModelError(
            f"{card.name} finds people for another network, and is quantised together with it",
            hint="name the network that finds the joints: models list",
        )


def quantize(
    card: NetworkCard, store: Store, frames: Sequence[Frame], size: InputSize, judge: Judge, tell: Tell
) -> Quantized:
    """Quantise ``card``'s FP32 network with frames of the scene it is meant for, in the order they were taken.

    Of two stages each is quantised by itself, the second with the people FP32 finds; they are judged together. Takes a
    minute or more on two cores, at full load. Raises ModelError when too few people are in view, ConfigError for a size
    the network cannot take, and ModuleNotFoundError without NNCF.
    """
    require_quantizable(card)
    with scratch("networks that are tried") as folder:  # a full disk is told before minutes were measured
        core = open_core({})
        if card.detector is None:
            frames = [as_input(frame, card, size) for frame in frames]
        scenes = _scenes(core, card, store, frames, size, _within(tell, 0, 0.1))
        calibration, held = split(scenes)
        inputs = _inputs(card, store, evenly(calibration, CALIBRATION_MAX), size)
        share = 0.65 / len(inputs)
        stages = [
            _stage(core, each, store, pictures, _within(tell, 0.1 + share * number, 0.1 + share * (number + 1)))
            for number, (each, pictures) in enumerate(inputs)
        ]
        xmls = {stage.card.name: folder / f"{stage.card.name}.xml" for stage in stages}
        for number, budget in enumerate(BUDGETS):
            chosen = [choose(stage.layers, budget) for stage in stages]
            count, of = sum(map(len, chosen)), sum(len(stage.layers) for stage in stages)
            tell(f"quantising {count} of {of} layers", 0.75 + 0.05 * number)
            networks = [
                ptq.quantised(stage.model, stage.card, [scene.frame.image for scene in stage.scenes], only=only)
                for stage, only in zip(stages, chosen, strict=True)
            ]
            for stage, network in zip(stages, networks, strict=True):
                _write(network, xmls[stage.card.name])
            agreement = _compare(core, card, store, xmls, evenly(held, HELD_MAX), size)
            if (verdict := judge(agreement)).outcome is Outcome.PASSED:
                break
        tell("measuring its speed", 0.9)
        speeds = [
            _speeds(core, stage.card, _variants(stage.card, store) | {"INT8": xmls[stage.card.name]}, stage.frame)
            for stage in stages
        ]
    made: Quantized | None = None
    for stage, network, only, speed in zip(stages, networks, chosen, speeds, strict=True):
        certificate = Certificate(
            agreement=manifest.Agreement(**agreement.model_dump()),
            height=stage.frame.image.shape[0],
            width=stage.frame.image.shape[1],
            calibration_frames=len(stage.scenes),
            layers=len(stage.layers),
            layers_quantized=len(only),
            speedup=speed["INT8"] / speed["FP32"],
            speedup_over_fp16=speed["INT8"] / speed["FP16"] if "FP16" in speed else None,
            rest_precision=core.get_property("CPU", "INFERENCE_PRECISION_HINT").get_type_name().upper(),
            fp32_sha256=store.manifest(stage.card.name).weights_sha256("FP32"),
            nncf_version=ptq.version(),
            openvino_version=ov.__version__,
            edgepose_version=version("edgepose"),
            created_at=datetime.now(UTC),
        )
        made = Quantized(stage.card.name, network, certificate, verdict, made)
    assert made is not None
    return made


def _write(network: ov.Model, xml: Path) -> None:
    """Write a network to be tried. Raises ModelError."""
    try:
        convert.save(network, xml, half=False)
    except OSError as error:
        raise ModelError(
            f"a network that is tried cannot be written to {xml.parent}: {error.strerror or error}",
            hint="make room there, or name a folder that has some: TMPDIR=/there",
        ) from error


def install(quantized: Quantized, store: Store) -> Path:
    """Make it the INT8 variant of an installed network, in place of what there was; the .xml. Raises ModelError.

    The entry is the old one or the new one, whatever happens. Of two stages the first is installed before the second,
    which is what makes the precision one that can be asked for.
    """
    if quantized.detector is not None:
        install(quantized.detector, store)
    name = quantized.name
    try:
        with store.locked(name, lambda: None), store.building(name) as room:
            built = room / "INT8"
            built.mkdir()
            convert.save(quantized.model, built / f"{name}.xml", half=False)
            return store.add_variant(name, "INT8", built, quantized.certificate)
    except OSError as error:
        raise ModelError(
            f"the INT8 variant of {name} cannot be written to {store.folder}: {error.strerror or error}",
            hint="make room there",
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


def _scenes(
    core: ov.Core, card: NetworkCard, store: Store, frames: Sequence[Frame], size: InputSize, tell: Tell
) -> list[Scene]:
    """The frames with people in them."""
    xmls = {each: store.variant(each, "FP32") for each in (card.name, store.seeing(card).name)}
    scenes = []
    with _Network(core, card, store, "FP32", xmls, size) as network:
        for done, frame in enumerate(frames):
            scenes.append(Scene(frame, network.poses(frame)))
            tell("finding people with FP32", (done + 1) / len(frames))
    return [scene for scene in scenes if scene.certain]


def _inputs(
    card: NetworkCard, store: Store, scenes: Sequence[Scene], size: InputSize
) -> list[tuple[NetworkCard, list[Frame]]]:
    """What each network sees of the scenes; a pose network of some people from all along."""
    if card.detector is None:
        return [(card, [scene.frame for scene in scenes])]
    front = store.card(card.detector)
    people = [crop for scene in scenes for crop in crops_of(scene, card)]
    return [
        (front, [as_input(scene.frame, front, size) for scene in scenes]),
        (card, evenly(people, CALIBRATION_MAX)),
    ]


def _stage(core: ov.Core, card: NetworkCard, store: Store, inputs: Sequence[Frame], tell: Tell) -> Stage:
    """What each layer costs. Raises ModelError where FP32 is certain of nobody."""
    model, finder = core.read_model(store.variant(card.name, "FP32")), Finder(core, card)
    if card.decoder.detects:  # its short side follows the footage, of whatever shape it was exported for
        model.reshape([{"N": 1, "C": 3}.get(axis, -1) for axis in card.input.layout])
    found = finder.find(model, inputs)
    scenes = [scene for scene in map(Scene, inputs, found) if scene.certain]
    if not scenes:
        raise ModelError(f"{card.name} is certain of nobody", hint="give more frames with people in view")
    return Stage(card, model, scenes, measure(finder, card, model, scenes, evenly(scenes, SEARCH_MAX), tell))


def _within(tell: Tell, start: float, end: float) -> Tell:
    return lambda step, fraction: tell(step, start + (end - start) * fraction)


def _variants(card: NetworkCard, store: Store) -> dict[Precision, Path]:
    compared: tuple[Precision, ...] = ("FP32", "FP16")
    present = store.precisions(card.name)
    return {precision: store.variant(card.name, precision) for precision in compared if precision in present}


class _Network(ExitStack):
    """A whole network, of one stage or two, made of files that need not be installed; an engine for each input size."""

    def __init__(
        self,
        core: ov.Core,
        card: NetworkCard,
        store: Store,
        precision: Precision,
        xmls: Mapping[str, Path],
        size: InputSize,
    ) -> None:
        super().__init__()
        self._core, self._card, self._store = core, card, store
        self._precision: Precision = precision
        self._xmls, self._size = xmls, size
        self._decoder = decoder_for(card, person_score_min=POSSIBLE, persons_max=PERSONS_MAX)
        self._engines: dict[tuple[int, int], Network] = {}

    def poses(self, frame: Frame) -> Poses:
        """Everybody, as the agent would find them."""
        size = input_size(self._size, self._store.seeing(self._card), frame)
        if size not in self._engines:
            spec = EngineSpec(self._card.name, "CPU", self._precision, *size)
            engine = build(self._store, self._card, spec, Stages(PERSONS_MAX), self._make)
            self._engines[size] = self.enter_context(engine)
        return infer(self._engines[size], self._decoder, frame)

    def _make(self, card: NetworkCard, spec: EngineSpec) -> Engine:
        return _engine(self._core, card, replace(spec, precision=self._precision), self._xmls[card.name])


def _engine(core: ov.Core, card: NetworkCard, spec: EngineSpec, xml: Path) -> Engine:
    return build_engine(core, card, xml, spec, roles_of(card), cache=None)


def _compare(
    core: ov.Core,
    card: NetworkCard,
    store: Store,
    xmls: Mapping[str, Path],
    scenes: Sequence[Scene],
    size: InputSize,
) -> Agreement:
    """As the agent will run it, with the processor's own precision where it is not quantised."""
    tally = Tally()
    with _Network(core, card, store, "INT8", xmls, size) as network:
        for scene in scenes:
            tally.add(scene.people, network.poses(scene.frame))
    return tally.agreement()


def _speeds(
    core: ov.Core, card: NetworkCard, variants: Mapping[Precision, Path], frame: Frame
) -> dict[Precision, float]:
    """Inferences a second, measured in turns: what else the processor does strikes all alike."""
    with ExitStack() as stack:
        engines = {
            precision: stack.enter_context(
                _engine(core, card, EngineSpec(card.name, "CPU", precision, *frame.size, "throughput"), xml)
            )
            for precision, xml in variants.items()
        }
        rounds = [
            {precision: raw_throughput(engine, ROUND_S) for precision, engine in engines.items()} for _ in range(ROUNDS)
        ]
    return {precision: max(taken[precision] for taken in rounds) for precision in engines}
