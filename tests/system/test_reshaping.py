"""A real agent whose camera is away at its start, and comes back with another picture than before."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from agent.wire.commands import ReplyStatus
from agent.wire.messages import Event, State, Status
from tests.broker import Broker
from tests.capture.mjpeg import MjpegCamera
from tests.system.study_faults import TOPICS, Rig, live_from

SOON: Final = """
import agent.control.reshaping
agent.control.reshaping.STEADY_S = 0.3
"""
WIDE: Final = (640, 480)
UPRIGHT: Final = (480, 800)


class Turning:
    """Numbered pictures of a size that can be changed."""

    def __init__(self) -> None:
        self.size = WIDE

    def __call__(self, number: int) -> bytes:
        width, height = self.size
        grey = np.full((height, width, 3), number % 200, np.uint8)
        return cv2.imencode(".jpg", grey)[1].tobytes()


def sized(width: int, height: int) -> Callable[[State], bool]:
    """Whether the input has this size."""
    return lambda state: state.input is not None and (state.input.width, state.input.height) == (width, height)


def test_the_input_follows_the_picture(broker: Broker, tmp_path: Path) -> None:
    """From the square of a start in the dark to the picture's shape, and to another one; commands keep it.

    It is nobody's wish: version and what is asked for stay, and poses flow all the while.
    """
    pictures = Turning()
    with MjpegCamera(jpeg=pictures) as camera:
        camera.refuse()
        away = live_from(camera) | {"EDGEPOSE_CAMERA__OPEN_TIMEOUT_S": "0.5"}
        with Rig(tmp_path, broker, also=SOON, **away) as rig:
            dark = rig.state(Status.CAMERA_LOST)
            assert sized(128, 128)(dark)
            camera.listen()
            state = rig.runs(sized(128, 96))
            assert (state.version, state.requested.long_side) == (0, None)
            rig.flows()

            pictures.size = UPRIGHT
            rig.runs(sized(96, 128))
            rig.flows()
            assert rig.heard.ask("set-precision", precision="FP16", timeout_s=120).status is ReplyStatus.SUCCEEDED
            state = rig.runs(lambda state: state.requested.precision == "FP16")
            assert sized(96, 128)(state)
            told = [Event.decode(payload) for payload in rig.heard.payloads(TOPICS.event)]
            switches = [event for event in told if event.code.startswith("switch.")]
            assert [event.code for event in switches] == ["switch.started", "switch.done"] * 3
            assert "128x96 instead of 128x128 pixels: the camera's picture is 640x480" in switches[0].message
