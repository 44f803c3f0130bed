"""What each way of quantising the default network gives: a table for docs/accuracy.md.

``python -m tests.benchmarks.int8`` prints markdown. Every attempt is calibrated on the same frames of the sample clip
and of the feed beside the checkout, and judged on others: people of FP32 it misses, mean OKS of those it finds, and AP
on the COCO pictures beside the checkout. Speeds are ratios of processor time on one thread, the best of rounds taken in
turns, which other work on the machine changes little: with what is not quantised in the processor's own half precision,
and in f32.
"""

import argparse
import contextlib
import io
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import openvino as ov
from nncf.quantization.advanced_parameters import AdvancedSmoothQuantParameters, OverflowFix
from nncf.quantization.range_estimator import RangeEstimatorParametersSet
from openvino import opset13 as ops

from agent.config.tree import InputSize, Log
from agent.inference.devices import open_core
from agent.inference.engine import Engine, build_engine
from agent.inference.letterbox import Letterbox
from agent.inference.spec import EngineSpec
from agent.observe import logs
from agent.poses.agreement import POSSIBLE, Outcome, Tally, Verdict, best_likeness
from agent.poses.decoders import decoder_for
from agent.wire.commands import Agreement
from models.getting.convert import as_tensor
from models.getting.fetch import fetch
from models.judging import ptq
from models.judging.evaluate import evaluate
from models.judging.footage import footage
from models.judging.likeness import Finder, Scene
from models.judging.quantize import BUDGETS, CALIBRATION_MAX, SEARCH_MAX, Quantized, evenly, install, split
from models.judging.run import Runner
from models.judging.sensitivity import WORTHWHILE, Layer, choose, measure
from models.shelf import catalogue, manifest
from models.shelf.manifest import Certificate
from models.shelf.store import Store, models_dir
from tests.benchmarks.input_sizes import PICTURES, print_row

NETWORK = "movenet-multipose"
SIZE = InputSize(long_side=384)
FEED = PICTURES.parent / "feeds" / "one-by-one-person-detection.mp4"
COLUMNS = ("attempt", "AP", "missed", "mean OKS", "over FP32", "over BF16", "over FP32, rest in f32", "made in s")


class Bench:
    """The network, the frames, and a store of its own to try in."""

    def __init__(self, folder: Path, frames: int, rounds: int) -> None:
        shutil.copytree(Store(models_dir()).network(NETWORK), folder / NETWORK)
        self.store = Store(folder)
        self.card = self.store.card(NETWORK)
        self.core = open_core({})
        self.model = self.core.read_model(self.store.variant(NETWORK, "FP32"))
        self.finder = Finder(self.core, self.card)
        self.rounds = rounds
        own = Store(models_dir())
        inputs = [frame for clip in ("vtest", str(FEED)) for frame in footage([clip], own, self.card, SIZE, frames)]
        scenes = [Scene(*pair) for pair in zip(inputs, self.finder.find(self.model, inputs), strict=True)]
        self.calibration, self.held = split([scene for scene in scenes if scene.certain])
        self.pictures = [scene.frame.image for scene in evenly(self.calibration, CALIBRATION_MAX)]
        # Somebody is in view all through the sample clip: with and without people is compared on the feed alone.
        feed = inputs[-1].image.shape
        empty = [scene for scene in scenes if not len(scene.people) and scene.frame.image.shape == feed]
        people = [scene for scene in self.calibration if scene.frame.image.shape == feed]
        count = min(len(empty), len(people), CALIBRATION_MAX)
        self.empty, self.peopled = ([each.frame.image for each in evenly(some, count)] for some in (empty, people))
        self.names = list(ptq.work_by_layer(self.model, self.card, *self.pictures[0].shape[:2]))

    def nncf(self, kept: Sequence[str] = (), pictures: Sequence[Any] | None = None, **options: Any) -> ov.Model:
        """NNCF as it comes, but for the layers ``kept`` in FP32."""
        chosen = pictures or self.pictures
        options = {"preset": nncf.QuantizationPreset.MIXED} | options
        return nncf.quantize(
            self.model.clone(),
            nncf.Dataset(chosen, lambda picture: as_tensor(self.card, picture)),
            subset_size=len(chosen),
            ignored_scope=nncf.IgnoredScope(names=list(kept)),
            **options,
        )

    def report(self, name: str, make: Callable[[], ov.Model]) -> None:
        """Make one, and print its row."""
        began = time.perf_counter()
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                model = make()
        except Exception as error:  # noqa: BLE001 - an attempt that cannot be made is a row too
            print_row(name, f"{type(error).__name__}: {str(error).splitlines()[0][:80]}", *["-"] * 6)
            return
        seconds = time.perf_counter() - began
        install(Quantized(NETWORK, model, _certificate(), Verdict(Outcome.PASSED)), self.store)
        ap = evaluate(
            NETWORK, self.store, precision="INT8", device="CPU", size=SIZE, images=PICTURES,
            annotations=PICTURES / "person_keypoints.json",
        ).ap  # fmt: skip
        found = self._agreement("INT8")
        print_row(name, f"{ap:.3f}", *told(found), *self._speeds(), f"{seconds:.0f}")

    def reference(self) -> None:
        """Print the rows of FP32 and of half precision."""
        rows: dict[catalogue.Precision, str] = {"FP32": "FP32", "FP16": "nothing quantised, in BF16"}
        for precision, name in rows.items():
            ap = evaluate(
                NETWORK, self.store, precision=precision, device="CPU", size=SIZE, images=PICTURES,
                annotations=PICTURES / "person_keypoints.json",
            ).ap  # fmt: skip
            print_row(name, f"{ap:.3f}", *told(self._agreement(precision)), *["-"] * 4)

    def _agreement(self, precision: catalogue.Precision) -> Agreement:
        tally = Tally()
        with Runner(NETWORK, self.store, precision=precision, device="CPU", size=SIZE, score_min=POSSIBLE) as runner:
            for scene in self.held:
                tally.add(scene.people, runner.poses(scene.frame))
        return tally.agreement()

    def _speeds(self) -> tuple[str, str, str]:
        """Over FP32, over half precision, and over FP32 with what is not quantised in f32."""
        height, width = self.held[0].frame.image.shape[:2]
        roles = decoder_for(self.card, person_score_min=POSSIBLE, persons_max=20).roles
        # The hint of FP32 on the quantised file leaves the integers and makes the rest f32.
        wanted: list[tuple[catalogue.Precision, catalogue.Precision]] = [
            ("FP32", "FP32"), ("FP16", "FP16"), ("INT8", "INT8"), ("INT8", "FP32"),
        ]  # fmt: skip
        with ExitStack() as stack:
            engines = []
            for variant, hint in wanted:
                spec = EngineSpec(NETWORK, "CPU", hint, height, width, streams=1, threads=1)
                xml = self.store.variant(NETWORK, variant)
                engines.append(stack.enter_context(build_engine(self.core, self.card, xml, spec, roles, cache=None)))
            taken = [[processor_s(engine) for engine in engines] for _ in range(self.rounds)]
        full, half, quantized, mixed = np.min(taken, axis=0)
        return f"{full / quantized:.2f}", f"{half / quantized:.2f}", f"{full / mixed:.2f}"


def processor_s(engine: Engine, inferences: int = 5) -> float:
    """Seconds of processor time of one inference."""
    slot = engine.acquire(5.0)
    assert slot is not None
    began = time.process_time()
    for _ in range(inferences):
        slot.start()
        slot.wait()
    taken = time.process_time() - began
    engine.release(slot)
    return taken / inferences


def told(found: Agreement) -> tuple[str, str]:
    """Missed people and likeness, as the table has them."""
    return f"{found.missed} of {found.people}", f"{found.mean_oks or 0:.3f}"


def _certificate() -> Certificate:
    return Certificate(
        agreement=manifest.Agreement(frames=0, people=0, missed=0, invented=0, mean_oks=None),
        height=0, width=0, calibration_frames=0, layers=0, layers_quantized=0, speedup=0, speedup_over_fp16=None,
        rest_precision="", fp32_sha256=None, nncf_version="", openvino_version="", edgepose_version="",
        created_at=datetime.now(UTC),
    )  # fmt: skip


def nncf_alone(bench: Bench) -> None:
    """Presets and options of NNCF, everything quantised."""
    advanced = nncf.AdvancedQuantizationParameters
    smooth = AdvancedSmoothQuantParameters(convolution=0.5, matmul=0.5)
    mean = RangeEstimatorParametersSet.MEAN_NO_OUTLIERS_MINMAX
    quantile = RangeEstimatorParametersSet.MEAN_QUANTILE
    bench.report("default preset", partial(bench.nncf, preset=nncf.QuantizationPreset.PERFORMANCE))
    bench.report("MIXED", bench.nncf)
    bench.report("MIXED, calibrated on the feed, people in view", partial(bench.nncf, pictures=bench.peopled))
    bench.report("MIXED, calibrated on the feed, nobody in view", partial(bench.nncf, pictures=bench.empty))
    bench.report("MIXED, slow bias correction", partial(bench.nncf, fast_bias_correction=False))
    for name, options in {
        "no bias correction": advanced(disable_bias_correction=True),
        "no overflow fix": advanced(overflow_fix=OverflowFix.DISABLE),
        "ranges without outliers": advanced(activations_range_estimator_params=mean),
        "ranges by quantiles": advanced(activations_range_estimator_params=quantile),
    }.items():
        bench.report(f"MIXED, {name}", partial(bench.nncf, advanced_parameters=options))
    # NNCF smooths for transformers alone: without the type the option does nothing.
    smoothed = {"model_type": nncf.ModelType.TRANSFORMER, "advanced_parameters": advanced(smooth_quant_alphas=smooth)}
    bench.report("MIXED, SmoothQuant of convolutions", partial(bench.nncf, **smoothed))
    bench.report("MIXED, centre head fitted", lambda: fitted(bench, bench.nncf()))


def fitted(bench: Bench, model: ov.Model) -> ov.Model:
    """The centre's logits scaled and shifted to be FP32's where it sees people, by least squares."""
    tensor = bench.card.decoder.outputs["center"]
    compiled = [bench.core.compile_model(network, "CPU") for network in (bench.model, model)]
    logits = [
        np.concatenate([network(as_tensor(bench.card, picture))[tensor].ravel() for picture in bench.pictures[::4]])
        for network in compiled
    ]
    near = logits[0] > -4
    scale, shift = np.polyfit(logits[1][near], logits[0][near], 1)
    result = next(result for result in model.get_results() if tensor in result.output(0).get_names())
    source = result.input_value(0)
    names = source.get_names()
    moved = ops.add(ops.multiply(source, np.float32(scale)), np.float32(shift))
    source.get_tensor().set_names(set())
    result.input(0).replace_source_output(moved.output(0))
    moved.output(0).get_tensor().set_names(names)
    return model


def by_hand(bench: Bench, layers: Sequence[Layer]) -> None:
    """Kinds of layers left in FP, then the worst ones as measured."""
    depthwise = [name for name in bench.names if name.startswith("Group")]
    heads = bench.names[-3 * len(bench.card.decoder.heads) :]
    for name, kept in {
        "heads": heads,
        "heads and first three": [*heads, *bench.names[:3]],
        "depthwise": depthwise,
        "heads and depthwise": [*heads, *depthwise],
    }.items():
        bench.report(f"MIXED, {name} in FP", partial(bench.nncf, kept))
    worst = sorted(layers, key=lambda layer: -layer.loss)
    for count in (1, 2, 5):
        bench.report(f"MIXED, {count} most sensitive in FP", partial(bench.nncf, [each.name for each in worst[:count]]))


def accuracy_control(bench: Bench) -> ov.Model:
    """NNCF's own: layers are put back, the worst first, until the mean OKS is within 0.03."""
    few = evenly(bench.calibration, SEARCH_MAX)
    decoder = decoder_for(bench.card, person_score_min=POSSIBLE, persons_max=20)

    def likeness(compiled: ov.CompiledModel, indices: Iterable[int]) -> tuple[float, None]:
        alike = []
        for index in indices:
            image = few[index].frame.image
            results = compiled(as_tensor(bench.card, image))
            raw = tuple(np.array(results[bench.card.decoder.outputs[role]]) for role in decoder.roles)
            letterbox = Letterbox.fit((0, 0, image.shape[1], image.shape[0]), image.shape[:2])
            alike.append(best_likeness(few[index].people, decoder.decode(raw, letterbox)))
        return float(np.concatenate(alike).mean()), None

    return nncf.quantize_with_accuracy_control(
        bench.model.clone(),
        nncf.Dataset(bench.pictures, lambda picture: as_tensor(bench.card, picture)),
        nncf.Dataset(list(range(len(few)))),
        likeness,
        max_drop=0.03,
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(bench.pictures),
    )


def recipe(bench: Bench, layers: Sequence[Layer]) -> None:
    """What `models quantize` does, with each of its budgets."""
    worth = [layer for layer in layers if layer.work >= WORTHWHILE * sum(each.work for each in layers)]
    for budget in BUDGETS:
        chosen = choose(worth, budget)
        name = f"recipe, budget {budget}: {len(chosen)} of {len(bench.names)} layers"
        bench.report(name, partial(ptq.quantised, bench.model, bench.card, bench.pictures, only=chosen))


def sensitivity_table(bench: Bench, layers: Sequence[Layer]) -> None:
    """The ten layers that cost most."""
    total = sum(layer.work for layer in layers)
    print_row("layer", "place", "share of the arithmetic", "OKS lost when it alone is quantised")
    print_row(*["---"] * 4)
    for layer in sorted(layers, key=lambda layer: -layer.loss)[:10]:
        place = f"{bench.names.index(layer.name) + 1} of {len(bench.names)}"
        print_row(layer.name, place, f"{layer.work / total:.2%}", f"{layer.loss:.4f}")
    print_row("all together, summed", "", "100%", f"{sum(layer.loss for layer in layers):.4f}")
    print()


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=200, help="of each clip")
    parser.add_argument("--rounds", type=int, default=12, help="in which the engines take turns; the best counts")
    arguments = parser.parse_args()
    logs.setup(Log(level="warning"))
    nncf.set_log_level(logging.ERROR)
    for needed in (PICTURES, FEED):
        if not needed.exists():
            sys.exit(f"{needed} is missing")
    for name in (NETWORK, "vtest"):
        fetch(catalogue.card(name), Store(models_dir()))
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), arguments.frames, arguments.rounds)
        few = evenly(bench.calibration, SEARCH_MAX)
        frames = evenly(bench.calibration, CALIBRATION_MAX)
        layers = measure(bench.finder, bench.card, bench.model, frames, few, lambda _step, _done: None, least=0)
        sensitivity_table(bench, layers)
        print_row(*COLUMNS)
        print_row(*["---"] * len(COLUMNS))
        bench.reference()
        recipe(bench, layers)
        by_hand(bench, layers)
        nncf_alone(bench)
        bench.report("NNCF's accuracy control", lambda: accuracy_control(bench))


if __name__ == "__main__":
    main()
