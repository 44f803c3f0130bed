"""An engine is tried on frames of the camera before it may serve."""

import threading
from pathlib import Path

import numpy as np
import pytest

from agent.capture.frame import Frame
from agent.config.tree import Config, Inference, InputSize, Model
from agent.control.settings import Settings
from agent.control.workshop import Workshop
from agent.errors import CancelledError, ConfigError, EdgeposeError, TrialError
from models.shelf.store import Store
from tests import broken_networks
from tests.footage import as_frame
from tests.inference.engines import CORE


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("networks")
    broken_networks.sound(folder)
    broken_networks.raises_in_the_dark(folder)
    return folder


@pytest.fixture
def workshop(networks: Path) -> Workshop:
    config = Config(model=Model(name="tiny-sound", input=InputSize(long_side=64)), inference=Inference(cache=False))
    return Workshop(config, CORE, Store(networks))


def picture(brightness: int) -> Frame:
    return as_frame(np.full((64, 64, 3), brightness, np.uint8))


def settings(model: str, device: str = "CPU") -> Settings:
    return Settings(model=model, device=device, precision="FP32")


def test_an_engine_that_fails_on_the_cameras_frames_does_not_serve(workshop: Workshop) -> None:
    """What passes on the golden picture and fails on what the camera sees is refused, and the reason says so."""
    with pytest.raises(TrialError, match="camera's own frames"):
        workshop.build(settings("tiny-raising"), [picture(0)], threading.Event())
    checked = workshop.build(settings("tiny-raising"), [picture(120)], threading.Event())
    checked.lane.engine.close()


def test_the_input_follows_the_shape_of_the_camera(workshop: Workshop) -> None:
    """Frames on end get an input on end; without any frame it is square."""
    upright = as_frame(np.full((128, 64, 3), 120, np.uint8))
    for frames, size in (([upright], (64, 32)), ([], (64, 64))):
        engine = workshop.build(settings("tiny-sound"), frames, threading.Event()).lane.engine
        assert (engine.spec.height, engine.spec.width) == size
        engine.close()


def test_the_input_is_that_of_the_camera_not_of_a_sample(workshop: Workshop) -> None:
    """A sample is smaller, and may be older than the picture's shape; what the camera shows counts."""
    wide, square = as_frame(np.full((32, 128, 3), 120, np.uint8)), picture(120)
    engine = workshop.build(settings("tiny-sound"), [square], threading.Event(), before=wide).lane.engine
    assert (engine.spec.height, engine.spec.width) == (32, 64)
    engine.close()


def test_a_commanded_size_wins_over_the_configured_one(workshop: Workshop) -> None:
    """The long side of a command is that of the input, and one the network cannot take is told with the nearest."""
    frame = as_frame(np.full((128, 64, 3), 120, np.uint8))
    assert workshop.size(settings("tiny-sound"), frame) == (64, 32)
    assert workshop.size(settings("tiny-sound").model_copy(update={"long_side": 128}), frame) == (128, 64)
    with pytest.raises(ConfigError, match="long_side 100 is not a multiple of 32"):
        workshop.size(settings("tiny-sound").model_copy(update={"long_side": 100}), frame)


@pytest.mark.parametrize(
    ("wanted", "compared"),
    [
        (settings("tiny-sound"), False),
        (settings("tiny-sound", "SIMCPU"), True),
        (settings("tiny-sound", "HETERO:SIMCPU,CPU"), True),
    ],
)
def test_every_change_but_to_the_reference_is_compared(workshop: Workshop, wanted: Settings, compared: bool) -> None:
    """FP32 on the processor is what others are compared with; another device, or a cut, is looked at on live frames."""
    pictures = [picture(120)] * 5
    checked = workshop.build(wanted, pictures, threading.Event())
    assert (checked.agreement.frames if checked.agreement else None) == (5 if compared else None)
    checked.lane.engine.close()
    again = workshop.build(wanted, pictures, threading.Event(), judged=True)
    assert again.agreement is None, "what commands asked for has been judged when it was accepted"
    again.lane.engine.close()


def test_it_stops_once_nobody_wants_it_any_more(workshop: Workshop) -> None:
    """Cancelled, it builds no further than the step it is at."""
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(CancelledError):
        workshop.build(settings("tiny-sound"), [picture(120)], cancelled)


@pytest.mark.parametrize("model", ["tiny-nobody", "movenet-multipose"])
def test_what_is_not_installed_is_named(workshop: Workshop, model: str) -> None:
    """A network that is not there is an error with a cure, not a crash."""
    with pytest.raises(EdgeposeError, match=model) as raised:
        workshop.build(settings(model), [], threading.Event())
    assert raised.value.hint
