"""RTSP cameras of the field: lost, back, frozen, and how old a picture is that is said to be new."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from tests.cameras.rtsp import RtspCamera, made_s
from tests.capture.helpers import Listener, opened
from tests.fault.camera import FROZEN_AFTER_S
from tests.fault.rig import pause, running
from tests.fault.table import Row, Stage

CODECS: Final = ("h264", "h265", "mjpeg")
RATES: Final = (1, 2, 5, 25)
LOOK_S: Final = 12.0
FPS: Final = 10
STREAM: Final = "tests/cameras/test_rtsp.py"


@dataclass(frozen=True, slots=True)
class Losses:
    """The worst over all codecs and ways."""

    told_s: float
    back_s: float


def losses(stage: Stage) -> Losses:
    """Lose the camera by a pulled plug, a stream that falls silent and a box that hangs."""
    told: list[float] = []
    back: list[float] = []
    for codec in CODECS:
        with RtspCamera(fps=FPS) as camera:
            source = {"EDGEPOSE_CAMERA__SOURCE": camera.url(codec), "EDGEPOSE_CAMERA__LOOP": "false"}
            ways: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
                "pulled plug": (camera.kill, camera.start),
                "silent": (partial(camera.order, "stall"), partial(camera.order, "run")),
                "hanging": (camera.stop, camera.go_on),
            }
            with running(stage.room(), **source) as (_, ear, _process):
                for way, (go, come) in ways.items():
                    ear.pose(time.perf_counter())
                    gone_s = time.perf_counter()
                    go()
                    told.append(ear.event("camera.lost", gone_s).at_s - gone_s)
                    pause(2)
                    come()
                    come_s = time.perf_counter()
                    back.append(ear.pose(come_s).at_s - come_s)
                    stage.say(f"{codec}, {way}: told after {told[-1]:.1f} s, back after {back[-1]:.1f} s")
    return Losses(max(told), max(back))


def frozen(stage: Stage) -> float:
    """Seconds until a picture that stands still in H.264 or H.265 is told, key frames once a second."""
    told = []
    for codec in ("h264", "h265"):
        with RtspCamera(fps=FPS, gop=FPS) as camera:
            source = {"EDGEPOSE_CAMERA__SOURCE": camera.url(codec), "EDGEPOSE_CAMERA__LOOP": "false"}
            with running(stage.room(), **source) as (_, ear, _process):
                pause(3)
                frozen_s = time.perf_counter()
                camera.order("freeze")
                told.append(ear.event("camera.frozen", frozen_s).at_s - frozen_s)
                stage.say(f"{codec}: told after {told[-1]:.1f} s")
    return max(told)


def excess_ms(stage: Stage) -> float:
    """By how much a picture is older than it is said to be, the worst of all codecs and rates.

    Somebody looks before us: a camera's encoder runs all day, and the first picture of the server's takes it up to a
    tenth of a second, which is the encoder's start and no age that a reader could know.
    """
    worst = []
    for codec in CODECS:
        for fps in RATES:
            excess: list[float] = []
            with RtspCamera(fps=fps, gop=2 * fps) as camera, opened(Listener(), source=camera.url(codec)) as before_us:
                while before_us.read(2) is None:
                    continue
                with opened(Listener(), source=camera.url(codec)) as source:
                    until_s = time.monotonic() + LOOK_S
                    while time.monotonic() < until_s:
                        if (frame := source.read(2)) is not None:
                            true_s = time.monotonic() - made_s(frame.image)
                            excess.append(true_s - (time.perf_counter() - frame.captured_s))
            worst.append(max(excess) * 1e3)
            stage.say(f"{codec} at {fps} fps: {worst[-1]:.0f} ms in the worst of {len(excess)}")
    return max(worst)


ROWS = (
    Row(
        "camera.rtsp-lost",
        "An RTSP camera (H.264, H.265, MJPEG) that is unplugged, falls silent or hangs is told as lost",
        3.0,
        "s",
        lambda stage: stage.once(losses).told_s,
        (f"{STREAM}::test_a_server_that_stops_is_lost_and_back",),
    ),
    Row(
        "camera.rtsp-back",
        "Poses come again once the RTSP camera is back",
        5.0,
        "s",
        lambda stage: stage.once(losses).back_s,
        (f"{STREAM}::test_a_server_that_is_gone_and_comes_again",),
    ),
    Row(
        "camera.rtsp-frozen",
        "A picture that stands still is noticed through H.264 and H.265, key frames or not",
        FROZEN_AFTER_S + 3,
        "s",
        frozen,
        (f"{STREAM}::test_a_still_picture_is_frozen",),
    ),
    Row(
        "camera.true-age",
        "A picture is not older than it is said to be by more than this, at 1, 2, 5 and 25 frames a second",
        60.0,
        "ms",
        excess_ms,
        (f"{STREAM}::test_no_frame_is_held_back",),
    ),
)
