"""The camera: lost, back, stale, frozen."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from agent.wire.messages import Keypoints
from tests.capture.mjpeg import MjpegCamera, Mode
from tests.fault.rig import TOPICS, Ear, pause, published, running, seen_by
from tests.fault.table import Row, Stage

PERIOD_S = 0.1
ROUNDS = 3
FROZEN_AFTER_S = 10.0
BUSY_S = 10.0
HELD_S = (0.3, 1.0, 1.8, 4.0)


@dataclass(frozen=True, slots=True)
class Losses:
    """What losing a camera in each way showed; the worst."""

    told_s: float
    back_s: float
    cpu_percent: float
    last_frame_off_s: float


Ways = dict[str, tuple[Callable[[], object], Callable[[], object]]]


def ways(camera: MjpegCamera) -> Ways:
    """How a camera goes, and how it comes back."""
    return {
        "switched off": (camera.refuse, camera.listen),
        "silent": (lambda: camera.set(Mode.STALL), lambda: camera.set(Mode.RUN)),
        "error 503": (lambda: broken(camera), lambda: setattr(camera, "status", 200)),
    }


def broken(camera: MjpegCamera) -> None:
    """Answer every request with an error."""
    camera.status = 503
    camera.reset()


def losses(stage: Stage) -> Losses:
    """Lose the camera in every way, for times of all kinds."""
    told, back, cpu, off = [], [], [], []
    chance = random.Random(6)
    with MjpegCamera(PERIOD_S) as camera, running(stage.room(), **seen_by(camera)) as (_, ear, process):
        meter = psutil.Process(process.popen.pid)
        for turn in range(ROUNDS):
            for way, (go, come) in ways(camera).items():
                ear.pose(time.perf_counter())
                gone_s = time.perf_counter()
                go()
                lost = ear.event("camera.lost", gone_s)
                told.append(lost.at_s - gone_s)
                off.append(last_frame_off_s(ear, gone_s))
                if turn == 0:
                    meter.cpu_percent()
                    pause(BUSY_S)
                    cpu.append(meter.cpu_percent())
                pause(chance.uniform(0, 4))
                come_s = time.perf_counter()
                come()
                back.append(ear.pose(come_s).at_s - come_s)
                stage.say(f"{way}: told after {told[-1]:.1f} s, back after {back[-1]:.1f} s")
    return Losses(max(told), max(back), max(cpu), max(off))


def last_frame_off_s(ear: Ear, gone_s: float) -> float:
    """How far what the state tells of the last frame is from the last keypoints that came."""
    # Of this loss: the one before may have been told a moment ago.
    ear.after(gone_s, lambda heard: heard.topic == TOPICS.state and b'"camera_lost"' in heard.payload)
    told = ear.states()[-1].camera.last_frame_at
    last = [heard for heard in list(ear.heard) if heard.topic == TOPICS.keypoints][-1]
    assert told is not None, "the state tells of no last frame"
    return abs(told.timestamp() - Keypoints.decode(last.payload).captured_at.timestamp())


def stalest(stage: Stage) -> float:
    """Age of the oldest picture that was published, from the moment it was made, in milliseconds."""
    folder = stage.room()
    probe = folder / "probe"
    with (
        MjpegCamera(PERIOD_S) as camera,
        running(folder, **seen_by(camera), FAULT_PROBE=str(probe)) as (_, ear, _process),
    ):

        def again(how: str) -> float:
            """See poses again; the age of the oldest so far."""
            ear.pose(time.perf_counter())
            pause(1)
            ages = [(at_s - camera.made_s[number]) * 1e3 for at_s, _, _, number in published(probe)]
            stage.say(f"{how}: oldest so far {max(ages):.0f} ms")
            return max(ages)

        for held_s in HELD_S:
            camera.set(Mode.HOLD)
            pause(held_s)
            camera.set(Mode.RUN)
            again(f"held back for {held_s:g} s")
        for way, (go, come) in ways(camera).items():
            gone_s = time.perf_counter()
            go()
            ear.event("camera.lost", gone_s)
            come()
            oldest_ms = again(way)
    return oldest_ms


def frozen(stage: Stage) -> float:
    """Seconds until a frozen picture is told."""
    with MjpegCamera(PERIOD_S) as camera, running(stage.room(), **seen_by(camera)) as (_, ear, _process):
        frozen_s = time.perf_counter()
        camera.set(Mode.FREEZE)
        return ear.event("camera.frozen", frozen_s).at_s - frozen_s


STREAM = "tests/capture/test_stream.py"
ROWS = (
    Row(
        "camera.lost",
        "A camera that is switched off, falls silent or answers with errors is told as lost",
        3.0,
        "s",
        lambda stage: stage.once(losses).told_s,
        (f"{STREAM}::test_stall_is_a_loss_and_heals", f"{STREAM}::test_refusal_is_a_loss_and_heals"),
    ),
    Row(
        "camera.back",
        "Poses come again once the camera is back",
        5.0,
        "s",
        lambda stage: stage.once(losses).back_s,
        ("tests/system/test_outage.py::test_a_camera_that_comes_late",),
    ),
    Row(
        "camera.cpu",
        "While the camera is lost the agent rests; 100 % is one core",
        10.0,
        "%",
        lambda stage: stage.once(losses).cpu_percent,
        (
            f"{STREAM}::test_a_lost_camera_is_given_time",
            "tests/capture/test_timing.py::test_backoff_grows_and_stays_bounded",
        ),
    ),
    Row(
        "camera.last-frame",
        "The state says when the last frame came, this near to the last keypoints",
        0.5,
        "s",
        lambda stage: stage.once(losses).last_frame_off_s,
        ("tests/fault/test_camera.py::test_the_state_says_when_the_last_frame_came",),
    ),
    Row(
        "camera.stale",
        "No pose is published of a picture older than this, also after an outage or a network that held it back",
        500.0,
        "ms",
        stalest,
        (f"{STREAM}::test_nothing_stale_after_a_stall",),
    ),
    Row(
        "camera.frozen",
        "A picture that stands still is noticed, 10 s after the first of its kind by default",
        FROZEN_AFTER_S + 3,
        "s",
        frozen,
        (f"{STREAM}::test_frozen_picture_is_a_loss",),
    ),
)
