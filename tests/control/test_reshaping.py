"""Promises of what is done about a picture of another shape than the input has."""

from pathlib import Path

import numpy as np
import pytest

from agent.capture.frame import Frame
from agent.config.tree import Config, Inference, InputSize, Model
from agent.control.events import Reshaped
from agent.control.fits import Fits
from agent.control.reshaping import STEADY_S, Reshaping
from agent.control.samples import Samples
from agent.control.settings import Settings
from agent.control.workshop import Workshop
from agent.inference.spec import EngineSpec
from agent.pipeline import Result
from agent.poses.skeleton import Poses
from models.shelf.store import Store
from tests import broken_networks
from tests.control.conversation import FIT
from tests.footage import as_frame
from tests.inference.engines import CORE

SETTINGS = Settings(model="tiny-sound", device="CPU", precision="FP32")
SQUARE = EngineSpec("tiny-sound", "CPU", "FP32", 64, 64)
WIDE, UPRIGHT = (128, 64), (64, 128)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("networks")
    broken_networks.sound(folder)
    return folder


def picture(size: tuple[int, int]) -> Frame:
    width, height = size
    return as_frame(np.zeros((height, width, 3), np.uint8))


class Looking:
    """An agent's look at its camera, from second to second."""

    def __init__(self, networks: Path, size: InputSize, fits: Fits | None = None) -> None:
        fit_age_ms = None if fits is None else 60_000.0
        model = Model(name="tiny-sound", input=size, fit_age_ms=fit_age_ms)
        self.workshop = Workshop(Config(model=model, inference=Inference(cache=False)), CORE, Store(networks), fits)
        self.samples = Samples()
        self.reshaping = Reshaping(self.workshop, self.samples)
        self.now_s = 100.0

    def shows(self, size: tuple[int, int]) -> None:
        self.samples.offer(Result(picture(size), Poses.nobody(), 1, "tiny-sound"))

    def after(self, seconds: float, spec: EngineSpec = SQUARE, settings: Settings = SETTINGS) -> Reshaped | None:
        self.now_s += seconds
        return self.reshaping.look(settings, spec, self.now_s)


@pytest.fixture
def looking(networks: Path) -> Looking:
    return Looking(networks, InputSize(long_side=64))


def test_a_camera_that_was_away_at_the_start(looking: Looking) -> None:
    """The square that was built without a picture gets its shape, once the picture has stayed a while; told once."""
    assert looking.after(2 * STEADY_S) is None, "there is no picture yet"
    looking.shows(WIDE)
    assert looking.after(0.0) is None
    assert looking.after(STEADY_S / 2) is None
    assert looking.after(STEADY_S) == Reshaped(picture=WIDE, wanted=(64, 32), runs=(64, 64))
    assert looking.after(2 * STEADY_S) is None, "it is told once: what cannot be built is not tried again and again"
    shaped = EngineSpec("tiny-sound", "CPU", "FP32", 32, 64)
    assert looking.after(0.0, shaped) is None
    assert looking.after(2 * STEADY_S, shaped) is None, "it runs"


def test_a_camera_that_is_turned(looking: Looking) -> None:
    """Another shape is followed, and the way back too; while it changes again and again nothing is."""
    looking.shows(WIDE)
    looking.after(0.0)
    assert looking.after(STEADY_S) is not None
    for size in (UPRIGHT, WIDE, UPRIGHT):
        looking.shows(size)
        assert looking.after(0.7 * STEADY_S) is None
    found = looking.after(STEADY_S)
    assert found is not None
    assert (found.picture, found.wanted) == (UPRIGHT, (32, 64))
    looking.shows(WIDE)
    looking.after(0.0)
    found = looking.after(STEADY_S)
    assert found is not None
    assert found.picture == WIDE


def test_what_was_not_tried_in_these_settings_is(looking: Looking) -> None:
    """Another device may take the shape that one did not; a commanded size is followed as the configured one."""
    looking.shows(WIDE)
    looking.after(0.0)
    assert looking.after(STEADY_S) is not None
    larger = SETTINGS.model_copy(update={"long_side": 128})
    runs = EngineSpec("tiny-sound", "CPU", "FP32", 128, 128)
    assert looking.after(0.0, runs, larger) is None
    assert looking.after(STEADY_S, runs, larger) == Reshaped(picture=WIDE, wanted=(128, 64), runs=(128, 128))


def test_a_size_that_is_configured_whole_stays(networks: Path) -> None:
    """Who names both sides wants both."""
    looking = Looking(networks, InputSize(height=64, width=64))
    looking.shows(WIDE)
    looking.after(0.0)
    assert looking.after(STEADY_S) is None


def test_a_network_that_was_removed_meanwhile_is_left_alone(looking: Looking) -> None:
    """It runs on in the engine in use; nothing can be built of it."""
    looking.shows(WIDE)
    gone = SETTINGS.model_copy(update={"model": "gone"})
    looking.after(0.0, settings=gone)
    assert looking.after(STEADY_S, settings=gone) is None


def test_what_was_measured_before_this_picture_counts(networks: Path, tmp_path: Path) -> None:
    """The size that fits is taken in its shape: just what the next start would build."""
    fits = Fits(tmp_path / "fits.json")
    looking = Looking(networks, InputSize(), fits)
    place = looking.workshop.place(SETTINGS, picture(WIDE))
    assert place is not None
    fits.keep(FIT.model_copy(update={"place": place, "long_side": 96}))
    looking.shows(WIDE)
    looking.after(0.0)
    found = looking.after(STEADY_S)
    assert found is not None
    assert found.wanted == (96, 64)
