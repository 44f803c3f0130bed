"""Promises of the search for what fits the camera, and of what is remembered of it."""

import queue
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from agent.benchmark import choice, fit, tune
from agent.benchmark.runs import Bench
from agent.capture.frame import Frame
from agent.config.tree import Config, Inference, InputSize
from agent.control import fitting
from agent.control.events import SizeFound
from agent.control.fits import Fit, Fits, Place
from agent.control.fitting import Fitting
from agent.control.samples import Samples
from agent.control.settings import SAID, Settings
from agent.control.studying import Parts
from agent.control.workshop import Workshop
from agent.inference.devices import list_devices, open_core
from agent.inference.spec import EngineSpec
from agent.pipeline import Result
from agent.poses.skeleton import Poses
from agent.wire.commands import Measuring
from tests.control.conversation import FIGURES, FIT, NO_FIT, PLACE
from tests.study.dark import bench_in

SIDES = (32, 64)
SETTINGS = Settings(model="tiny-sound", device="CPU", precision="FP32")
RUNS = EngineSpec("tiny-sound", "CPU", "FP32", 96, 96)
WAIT_S = 120.0


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench_in(tmp_path_factory.mktemp("box"), Measuring(runs=1, frames=10)) as bench:
        yield bench


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune, "SIDES", SIDES)
    monkeypatch.setattr(fitting, "SETTLED_S", 0.0)
    monkeypatch.setattr(fitting, "RATE_S", 0.5)
    monkeypatch.setattr(fit, "LOOK_S", 0.2)
    monkeypatch.setattr(fit, "PACED_MIN", 1)
    monkeypatch.setattr(choice, "KEPT", 0.0)  # a busy machine finishes fewer frames


def seen() -> Samples:
    """What a pipeline has seen: one picture with nobody in it."""
    samples = Samples()
    frame = Frame(np.zeros((64, 64, 3), np.uint8), 1, datetime.now(UTC), 0.0, 0.0)
    samples.offer(Result(frame, Poses.nobody(), 1, "tiny-sound"))
    return samples


class Rig:
    """A search on a box of tiny networks, and what it has told; ``said`` is what the configuration names."""

    def __init__(
        self,
        bench: Bench,
        fits: Fits,
        *,
        age_ms: float | None = 60_000.0,
        captured: Callable[[], int] | None = None,
        size: InputSize | None = None,
        said: Inference | None = None,
    ) -> None:
        model = bench.config.model.model_copy(update={"fit_age_ms": age_ms, "input": size or InputSize()})
        inference = said or Inference(precision="FP32", hint="latency")
        self.config = bench.config.model_copy(update={"model": model, "inference": inference})
        core = open_core({})
        self.workshop = Workshop(self.config, core, bench.store, fits)
        self.told: queue.SimpleQueue[SizeFound] = queue.SimpleQueue()
        parts = Parts(self.config, core, bench.store, self.workshop, seen(), list_devices(core), hold=lambda: None)
        self.fitting = Fitting(parts, fits, captured=captured, post=self.told.put)

    def place(self, settings: Settings = SETTINGS) -> Place:
        """Where it measures."""
        place = self.workshop.place(settings, seen().frames()[0])
        assert place is not None
        return place

    def idle(self) -> bool:
        """Whether nothing is told, nor will be, once all that runs has ended."""
        for thread in threading.enumerate():
            if thread.name == "fitting":
                thread.join(WAIT_S)
        return self.told.empty()


def test_a_size_is_found_once_and_remembered(bench: Bench, tmp_path: Path) -> None:
    """It is one of those that can be had; who knows it takes it at once, and measures no more."""
    path = tmp_path / "fits.json"
    rig = Rig(bench, Fits(path), captured=count().__next__)
    rig.fitting.consider(SETTINGS, RUNS)
    found = rig.told.get(timeout=WAIT_S)
    assert found.fit.long_side in SIDES
    assert (found.switch, found.runs, found.settings) == (True, 96, SETTINGS)
    assert found.fit.measured is not None
    assert found.fit.measured.age_ms_max == 60_000.0
    assert found.fit.measured.fps > found.fit.measured.camera_fps
    assert (found.fit.measured.chosen, found.fit.precision, found.fit.hint) == (("input",), None, None)
    rig.fitting.consider(SETTINGS, RUNS)
    assert rig.idle()
    rig.fitting.keep(found.fit)
    again = Rig(bench, Fits(path), captured=count().__next__)
    frame = seen().frames()[-1]
    fitted = again.workshop.fitted(SETTINGS, frame)
    side = found.fit.long_side
    assert fitted.long_side == side
    assert again.workshop.fitted(SETTINGS.model_copy(update={"long_side": 96}), frame).long_side == 96
    assert again.workshop.fitted(SETTINGS.model_copy(update={"model": "tiny-raising"}), frame).long_side is None
    runs = EngineSpec("tiny-sound", "CPU", "FP32", side, side)
    again.fitting.consider(SETTINGS, runs)
    assert again.idle()
    assert again.fitting.told(SETTINGS, runs) == found.fit.measured
    assert again.fitting.told(SETTINGS, RUNS) is None


def test_where_it_is_known_and_does_not_run(bench: Bench, tmp_path: Path) -> None:
    """A camera that was down at the start told no size: what is known is taken once it is back."""
    fits = Fits(tmp_path / "fits.json")
    rig = Rig(bench, fits, captured=count().__next__)
    known = FIT.model_copy(update={"place": rig.place(), "long_side": 64, "camera_fps": 1e6})
    fits.keep(known)
    rig.fitting.consider(SETTINGS, RUNS)
    found = rig.told.get(timeout=WAIT_S)
    assert found.fit == known
    assert found.switch


def test_for_which_there_was_no_time(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found until then is taken, and the next start looks again; of nothing nothing is said."""
    fits = Fits(tmp_path / "fits.json")
    rig = Rig(bench, fits, captured=count().__next__)
    with monkeypatch.context() as patch:
        patch.setattr(fit, "FIT_S", 0.0)
        rig.fitting.consider(SETTINGS, RUNS)
        assert rig.idle()
        rig.fitting.consider(SETTINGS, RUNS)
        assert not [thread for thread in threading.enumerate() if thread.name == "fitting"], "not before the next start"
    fits.keep(FIT.model_copy(update={"place": rig.place(), "long_side": 32, "whole": False}))
    again = Rig(bench, Fits(tmp_path / "fits.json"), captured=count().__next__)
    again.fitting.consider(SETTINGS, RUNS)
    assert again.told.get(timeout=WAIT_S).fit.whole


def test_whatever_nobody_has_named_is_chosen(bench: Bench, tmp_path: Path) -> None:
    """Precision and hint as well as the size; what was chosen runs from the next start on, and nothing is measured."""
    path = tmp_path / "fits.json"
    rig = Rig(bench, Fits(path), captured=count().__next__, said=Inference(device="CPU"))
    place = rig.place()
    assert (place.precisions, place.any_hint, place.input) == (("FP32", "FP16"), True, None)
    rig.fitting.consider(SETTINGS, RUNS)
    found = rig.told.get(timeout=WAIT_S)
    measured = found.fit.measured
    assert measured is not None
    assert measured.chosen == ("input", "precision", "hint")
    assert (measured.precision, measured.hint) == (found.fit.precision, found.fit.hint)
    assert measured.cpu_ms is not None
    assert measured.tried
    again = Rig(bench, Fits(path), captured=count().__next__, said=Inference(device="CPU"))
    other = found.fit.model_copy(update={"precision": "FP16", "hint": "throughput"})
    rig.fitting.keep(other)
    again = Rig(bench, Fits(path), captured=count().__next__, said=Inference(device="CPU"))
    frames = seen().frames()
    with again.workshop.build(SETTINGS, frames, threading.Event()).lane.engine as engine:
        spec = engine.spec
    assert (spec.precision, spec.hint, spec.width) == ("FP16", "throughput", found.fit.long_side)
    again.fitting.consider(SETTINGS, spec)
    assert again.idle()
    assert again.fitting.told(SETTINGS, spec) == measured
    assert again.fitting.told(SETTINGS, RUNS) is None
    on_simcpu = again.workshop.fitted(SETTINGS.model_copy(update={"device": "SIMCPU"}), frames[0])
    kept = (on_simcpu.precision, on_simcpu.hint, on_simcpu.long_side)
    assert kept == ("FP32", "latency", found.fit.long_side), "a device it was not measured on keeps the size alone"


@pytest.mark.parametrize("part", SAID)
def test_what_somebody_names_is_kept(bench: Bench, tmp_path: Path, part: str) -> None:
    """In the configuration, be it what it would be anyway, or by a command."""
    fits = Fits(tmp_path / "fits.json")
    plain = {"precision": "FP32", "hint": "latency"}[part]
    free = Rig(bench, fits, captured=count().__next__, said=Inference(device="CPU"))
    named = Rig(bench, fits, captured=count().__next__, said=Inference.model_validate({part: plain}))
    fits.keep(
        FIT.model_copy(update={"place": free.place(), "long_side": 64, "precision": "FP16", "hint": "throughput"})
    )
    fits.keep(FIT.model_copy(update={"place": named.place(), "long_side": 32, "precision": None, "hint": None}))
    frame = seen().frames()[0]
    assert getattr(free.workshop.fitted(SETTINGS, frame), part) != plain
    assert getattr(named.workshop.fitted(SETTINGS, frame), part) == plain
    told = SETTINGS.model_copy(update={"said": (part,)})
    assert getattr(free.workshop.fitted(told, frame), part) == plain
    assert (part == "precision") == (free.place(told).precisions == ())
    assert (part == "hint") == (not free.place(told).any_hint)
    sized = Rig(bench, fits, captured=count().__next__, size=InputSize(long_side=64), said=Inference(device="CPU"))
    assert (sized.place().input, sized.place().any_hint) == ((64, 64), True)
    sized.fitting.consider(SETTINGS, RUNS)
    chosen = sized.told.get(timeout=WAIT_S).fit
    assert (chosen.long_side, chosen.precision is None, chosen.hint is None) == (None, False, False)


def test_none_holds(bench: Bench, tmp_path: Path) -> None:
    """Before a camera that is faster than any network its own size stays."""
    rig = Rig(bench, Fits(tmp_path / "fits.json"), captured=count(0, 10**9).__next__)
    rig.fitting.consider(SETTINGS, RUNS)
    found = rig.told.get(timeout=WAIT_S)
    assert (found.fit.long_side, found.fit.measured, found.switch) == (None, None, False)


def test_whoever_asks_for_something_ends_it(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is told of a search that was cancelled, and it begins anew when nothing is asked for."""
    rig = Rig(bench, Fits(tmp_path / "fits.json"), captured=count().__next__)
    with monkeypatch.context() as patch:
        patch.setattr(fitting, "SETTLED_S", WAIT_S)
        rig.fitting.consider(SETTINGS, RUNS)
        rig.fitting.cancel()
        assert rig.idle()
    rig.fitting.consider(SETTINGS, RUNS)
    assert rig.told.get(timeout=WAIT_S).fit.long_side in SIDES


def test_nothing_is_measured_where_nobody_wants_it(bench: Bench, tmp_path: Path) -> None:
    """Off by default, and without a camera that sets a pace; nor where sizes were given up for this run."""
    assert Config().model.fit_age_ms is None
    suspended = Fits(tmp_path / "fits.json")
    suspended.suspend()
    for rig in (
        Rig(bench, Fits(tmp_path / "fits.json"), age_ms=None, captured=count().__next__),
        Rig(bench, Fits(tmp_path / "fits.json"), captured=None),
        Rig(bench, suspended, captured=count().__next__),
    ):
        rig.fitting.consider(SETTINGS, RUNS)
        assert not [thread for thread in threading.enumerate() if thread.name == "fitting"]
        assert rig.told.empty()


def test_what_is_remembered(tmp_path: Path) -> None:
    """Exactly what was measured for, else what the same network had before the same camera; not what was given up."""
    path = tmp_path / "state" / "fits.json"
    fits = Fits(path)
    assert fits.best(PLACE) is None
    fits.keep(FIT)
    gpu = PLACE.model_copy(update={"device": "GPU"})
    other = PLACE.model_copy(update={"width": 1920})
    assert Fits(path).known(PLACE) == FIT
    assert Fits(path).known(gpu) is None
    assert fits.best(gpu) == FIT
    assert fits.best(gpu) is fits.best(gpu), "nobody is told of it twice"
    assert Fits(path).best(other) is None
    on_gpu = FIT.model_copy(update={"place": gpu, "long_side": 640})
    fits.keep(on_gpu)
    fits.keep(NO_FIT)
    assert (Fits(path).known(PLACE), Fits(path).known(gpu)) == (NO_FIT, on_gpu)
    figures = FIGURES.model_copy(update={"chosen": ("input", "precision", "hint")})
    whole = FIT.model_copy(update={"precision": "FP16", "hint": "throughput", "measured": figures})
    fits.keep(whole)
    assert fits.best(PLACE) == whole
    elsewhere = fits.best(PLACE.model_copy(update={"device": "NPU"}))
    assert elsewhere is not None
    assert (elsewhere.long_side, elsewhere.precision, elsewhere.hint) == (512, None, None)
    assert elsewhere.measured == FIGURES, "of which the size alone counts there"
    for number in range(100):
        fits.keep(Fit(place=PLACE.model_copy(update={"width": number}), long_side=256, camera_fps=1.0))
    assert Fits(path).known(PLACE) is None, "few are kept"
    fits.keep(FIT)
    assert fits.suspend()
    assert fits.best(PLACE) is None
    assert Fits(path).known(PLACE) == FIT, "until the next start"


def test_a_damaged_file_is_measured_again(tmp_path: Path) -> None:
    """What cannot be read is no size; a folder that cannot be written costs nothing but the memory."""
    path = tmp_path / "fits.json"
    path.write_text('{"format": 1, "fits": [{}]}')
    fits = Fits(path)
    assert fits.best(PLACE) is None
    fits.keep(FIT)
    assert Fits(path).known(PLACE) == FIT
    (tmp_path / "file").touch()
    nowhere = Fits(tmp_path / "file" / "fits.json")
    nowhere.keep(FIT)
    assert nowhere.known(PLACE) == FIT
