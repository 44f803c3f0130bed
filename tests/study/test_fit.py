"""Promises of the choice of what fits a camera: the largest that holds, then the cheapest, and nobody is lost."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import pytest

from agent.benchmark import fit
from agent.benchmark.choice import misses
from agent.benchmark.fit import FRAMES, Again, Fitter, Shown
from agent.benchmark.runs import Bench
from agent.benchmark.tune import Tuner
from agent.capture.frame import EndOfSource, Frame
from agent.control.fits import Place
from agent.control.settings import Settings
from agent.wire.commands import Measuring
from agent.wire.messages import Effective
from agent.wire.study import Recipe
from agent.wire.tuning import Trial
from models.shelf.catalogue import Precision
from tests.study.dark import bench_in
from tests.study.trials import at_pace, trial

SETTINGS = Settings(model="tiny-sound", device="CPU", precision="FP32")
FPS = {256: 43.0, 320: 26.0, 384: 19.0, 512: 12.0, 640: 7.6}
"""Of FP32 on two cores, with real weights."""
COMPUTES = {"FP32": "F32", "FP16": "BF16", "INT8": "BF16"}
SPEED = {"FP32": 1.0, "FP16": 1.9, "INT8": 2.1}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench_in(tmp_path_factory.mktemp("box"), Measuring(runs=1, frames=10)) as bench:
        yield bench


def place(*precisions: Precision, any_hint: bool = False, input: tuple[int, int] | None = None) -> Place:  # noqa: A002
    """Before a camera of 768x576, with this to choose from."""
    return Place(
        model="tiny-sound",
        device="CPU",
        precision="FP32",
        hint="latency",
        width=768,
        height=576,
        age_ms_max=150.0,
        precisions=precisions,
        any_hint=any_hint,
        input=input,
    )


class World:
    """What each configuration does is what the test says; it keeps what was looked at, and what was tried."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bench = bench
        self.computes = COMPUTES
        self.cheaper = {"latency": 1.0, "throughput": 0.97}
        """Processor time by the hint."""
        self.later = {"latency": 1.0, "throughput": 1.9}
        self.refused: set[str] = set()
        self.looked: list[tuple[int | None, str, str | None]] = []
        self.tried: list[tuple[int | None, str, str | None]] = []
        monkeypatch.setattr(Tuner, "_trial", lambda tuner, recipe: self._look(tuner, recipe))  # noqa: PLW0108 - a method of it
        monkeypatch.setattr(Tuner, "_at_pace", lambda tuner, found: self._pace(tuner, found))  # noqa: PLW0108

    def _look(self, tuner: Tuner, recipe: Recipe) -> Trial:
        self.looked.append((recipe.long_side, recipe.precision, recipe.hint))
        fps = FPS[recipe.long_side or 256] * SPEED[recipe.precision]
        _agreement, value = tuner._compared(recipe, ())
        cpu_ms = 1600 / fps * self.cheaper[recipe.hint or ""]
        found = trial(value, fps, cpu_ms).model_copy(update={"recipe": recipe})
        ran = Effective(
            execution_devices=("CPU",),
            model_precision=recipe.precision,
            inference_precision=self.computes[recipe.precision],
            submodels=None,
            infer_requests=2,
            compile_ms=1.0,
            first_infer_ms=1.0,
            from_cache=True,
            engine=1,
        )
        return found.model_copy(update={"effective": ran, "fails": misses(found, tuner._wish)})

    def _pace(self, tuner: Tuner, found: Trial) -> Trial:
        recipe = found.recipe
        self.tried.append((recipe.long_side, recipe.precision, recipe.hint))
        if recipe.precision in self.refused:
            return found.model_copy(update={"status": "failed", "reason": "it loses people"})
        age_ms = 1000 / (found.fps or 1.0) * self.later[recipe.hint or ""]
        tried = found.model_copy(update={"at_pace": at_pace(cpu=(found.cpu_ms or 0.0), age_ms=age_ms)})
        return tried.model_copy(update={"fails": misses(tried, tuner._wish)})

    def best(self, where: Place, camera_fps: float = 10.0) -> tuple[int | None, str, str | None] | None:
        """What is chosen there: long side, precision, hint."""
        shown = Shown.of(tuple(frames()), where, camera_fps)
        bench = Bench(
            self.bench.config, self.bench.store, self.bench.workshop, self.bench.limits, self.bench.box, shown
        )
        fitter = Fitter(
            bench, SETTINGS, where, frames=shown.frames, besides_ms=0.0, results=lambda: 0, cancelled=threading.Event()
        )
        best = fitter.best().best
        return None if best is None else (best.recipe.long_side, best.recipe.precision, best.recipe.hint)


@pytest.fixture
def world(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(bench, monkeypatch)


def test_the_largest_that_holds(world: World) -> None:
    """From the smallest on until one does not hold; a tenth is to spare, of the rate and of the age."""
    assert world.best(place()) == (512, "FP32", "latency")
    assert world.looked == [(side, "FP32", "latency") for side in FPS]
    assert world.tried == [(512, "FP32", "latency")]
    assert world.best(place(), camera_fps=11.0) == (384, "FP32", "latency"), "12 are no tenth above 11"
    late = place().model_copy(update={"age_ms_max": 90.0})
    assert world.best(late) == (384, "FP32", "latency"), "83 ms are no tenth below 90"
    world.looked.clear()
    assert world.best(place(), camera_fps=100.0) is None
    assert world.looked == [(256, "FP32", "latency")]


def test_a_precision_that_is_really_faster(world: World) -> None:
    """A larger input is had by it, and at the same size it is cheaper; one that is computed as FP32 is left at once."""
    assert world.best(place("FP32", "FP16")) == (640, "FP16", "latency")
    world.computes = COMPUTES | {"FP16": "F32"}
    world.looked.clear()
    assert world.best(place("FP32", "FP16")) == (512, "FP32", "latency")
    assert [each for each in world.looked if each[1] == "FP16"] == [(256, "FP16", "latency")]


def test_whoever_loses_people_is_passed_over(world: World) -> None:
    """What the guard of a switch refuses makes room for the next best, be it smaller."""
    assert world.best(place("FP32", "FP16", "INT8")) == (640, "INT8", "latency")
    world.refused = {"INT8"}
    assert world.best(place("FP32", "FP16", "INT8")) == (640, "FP16", "latency")
    world.refused = {"INT8", "FP16"}
    assert world.best(place("FP32", "FP16", "INT8")) == (512, "FP32", "latency")


@pytest.mark.parametrize(
    ("cheaper", "later", "hint"), [(0.97, 1.9, "latency"), (0.7, 1.2, "throughput"), (0.7, 1.9, "latency")]
)
def test_another_hint_has_to_be_worth_it(world: World, cheaper: float, later: float, hint: str) -> None:
    """It is taken where it saves a tenth of the processor time and results are still soon enough."""
    world.cheaper["throughput"], world.later["throughput"] = cheaper, later
    assert world.best(place(any_hint=True)) == (512, "FP32", hint)


def test_what_is_asked_for_is_kept(world: World) -> None:
    """A size, a precision, a hint that somebody has named is the only one that is looked at."""
    assert world.best(place("FP32", "FP16", input=(192, 256))) == (None, "FP16", "latency")
    assert {side for side, _precision, _hint in world.looked} == {None}
    world.looked.clear()
    world.best(place())
    assert {each[1:] for each in world.looked} == {("FP32", "latency")}


def frames() -> Iterator[Frame]:
    for value in range(3):
        picture = np.full((8, 8, 3), value, np.uint8)
        yield Frame(picture, 7, datetime.now(UTC), 1.0, 2.0, media_s=5.0)


def test_what_the_engine_in_use_takes_is_not_counted(bench: Bench) -> None:
    """By the results it brings meanwhile: one that has no time for any costs nothing."""
    brought = [0]
    shown = Shown.of(tuple(frames()), place(), 10.0)
    fitter = Fitter(
        Bench(bench.config, bench.store, bench.workshop, bench.limits, bench.box, shown),
        SETTINGS,
        place(),
        frames=shown.frames,
        besides_ms=50.0,
        results=lambda: brought[0],
        cancelled=threading.Event(),
    )
    assert fitter._own(80.0) == 80.0
    brought[0] = 10**9
    assert fitter._own(80.0) == 0.0


def test_a_slow_one_looks_at_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look ends after its frames, or after its time: what is slow must not take all of it."""
    shown = Shown.of(tuple(frames()), place(), 10.0)
    monkeypatch.setattr(fit, "LOOK_S", 3600.0)
    source = shown.open()
    assert None not in [source.read(1.0) for _ in range(FRAMES)]
    with pytest.raises(EndOfSource):
        source.read(1.0)
    monkeypatch.setattr(fit, "LOOK_S", 0.0)
    source = shown.open()
    assert source.read(1.0) is not None, "the first in any case"
    with pytest.raises(EndOfSource):
        source.read(1.0)


def test_frames_come_again() -> None:
    """In turn and without end, each with a number and a moment of its own; a pace drops what nobody read in time."""
    again = Again(tuple(frames()))
    seen = [again.read(1.0) for _ in range(7)]
    assert [int(frame.image[0, 0, 0]) for frame in seen if frame] == [0, 1, 2, 0, 1, 2, 0]
    assert [frame.seq for frame in seen if frame] == list(range(1, 8))
    assert all(frame.media_s is None and frame.captured_s > 1.0 for frame in seen if frame)
    slow = Again(tuple(frames()), 3600.0)
    assert slow.read(1.0) is not None
    assert slow.read(0.0) is None, "the next is due in an hour"
    hurried = Again(tuple(frames()), 1e-9)
    hurried.read(1.0)
    assert hurried.read(1.0) is not None
    assert hurried.counts().dropped > 0
    assert hurried.counts().captured > hurried.counts().dropped
