"""Promises of the search for the input size that fits, and of what is remembered of it."""

import queue
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from agent.benchmark import fit, tune
from agent.benchmark.runs import Bench
from agent.capture.frame import Frame
from agent.config.tree import Config
from agent.control import fitting
from agent.control.events import SizeFound
from agent.control.fits import Fit, Fits, Place
from agent.control.fitting import Fitting
from agent.control.samples import Samples
from agent.control.settings import Settings
from agent.control.workshop import Workshop
from agent.inference.devices import open_core
from agent.inference.spec import EngineSpec
from agent.pipeline import Result
from agent.poses.skeleton import Poses
from agent.wire.commands import Measuring
from tests.control.conversation import FIT, NO_FIT, PLACE
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


def seen() -> Samples:
    """What a pipeline has seen: one picture with nobody in it."""
    samples = Samples()
    frame = Frame(np.zeros((64, 64, 3), np.uint8), 1, datetime.now(UTC), 0.0, 0.0)
    samples.offer(Result(frame, Poses.nobody(), 1, "tiny-sound"))
    return samples


class Rig:
    """A search on a box of tiny networks, and what it has told."""

    def __init__(
        self, bench: Bench, fits: Fits, *, age_ms: float | None = 60_000.0, captured: Callable[[], int] | None = None
    ) -> None:
        model = bench.config.model.model_copy(update={"fit_age_ms": age_ms})
        self.config = bench.config.model_copy(update={"model": model})
        self.workshop = Workshop(self.config, open_core({}), bench.store, fits)
        self.told: queue.SimpleQueue[SizeFound] = queue.SimpleQueue()
        self.fitting = Fitting(
            self.config, bench.store, self.workshop, seen(), fits, captured=captured, post=self.told.put
        )

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
    place = Place.of(SETTINGS, seen().frames()[0], 60_000.0)
    known = FIT.model_copy(update={"place": place, "long_side": 64, "camera_fps": 1e6})
    fits.keep(known)
    rig.fitting.consider(SETTINGS, RUNS)
    found = rig.told.get(timeout=WAIT_S)
    assert found.fit == known
    assert found.switch


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
    assert Fits(path).best(gpu) == FIT
    assert Fits(path).best(other) is None
    on_gpu = FIT.model_copy(update={"place": gpu, "long_side": 640})
    fits.keep(on_gpu)
    fits.keep(NO_FIT)
    assert (Fits(path).known(PLACE), Fits(path).known(gpu)) == (NO_FIT, on_gpu)
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
