"""Promises about what a benchmark looks at, and about what is left of it."""

import stat
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from agent.benchmark.clips import RECORDED_MAX, Clips, Reel
from agent.capture.frame import EndOfSource, Frame, Region
from agent.config.tree import Config
from agent.control.samples import Samples
from agent.errors import CancelledError, CaptureError, ConfigError, EdgeposeError, ModelError
from agent.pipeline import Result
from agent.poses.skeleton import Poses
from agent.wire.commands import Measuring
from models.shelf.store import Store
from tests.footage import as_frame

NEVER = threading.Event()
FPS = 20.0


def configured(tmp_path: Path, *, record: bool = False, **camera: Any) -> Config:
    return Config.model_validate(
        {
            "device_id": "box",
            "paths": {"state": tmp_path / "state"},
            "camera": camera,
            "benchmark": {"record_from_camera": record},
        }
    )


def left(tmp_path: Path) -> list[str]:
    """Names of all files below the state folder."""
    return sorted(path.name for path in (tmp_path / "state").rglob("*"))


def frames_of(footage: Reel) -> Iterator[Frame]:
    with closing(footage.open()) as source:
        while True:
            try:
                frame = source.read(1.0)
            except EndOfSource:
                return
            assert frame is not None
            yield frame


def taken(clips: Clips, args: Measuring) -> Reel:
    with clips.footage(args, lambda _what: None, NEVER) as footage:
        return footage


@contextmanager
def camera_running(samples: Samples, frames: int | None = None) -> Iterator[None]:
    """Results as a pipeline gives them, of a camera whose pictures grow brighter, until the end."""
    over = threading.Event()

    def results() -> None:
        number = 0
        while not over.is_set():
            image = np.full((48, 64, 3), min(number * 4, 250), np.uint8)
            frame = replace(as_frame(image, number), captured_s=100 + number / FPS)
            recorder = samples.recorder
            if recorder is not None and (frames is None or number < frames):
                recorder(Result(frame, Poses.nobody(), 1, "network"))
                number += 1
            over.wait(0.001)

    thread = threading.Thread(target=results)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_named_clip_comes_first(store: Store, tmp_path: Path) -> None:
    """The clip that was asked for is looked at whole and upright, whatever the camera is."""
    clips = Clips(configured(tmp_path, source="/dev/video0", rotate=90), store, Samples())
    footage = taken(clips, Measuring(clip="vtest", frames=10))
    assert footage.clip.model_dump() == {"name": "vtest", "frames": 10, "width": 768, "height": 576, "fps": 10.0}
    assert len(list(frames_of(footage))) == 10


def test_seconds_are_those_of_the_clip(store: Store, tmp_path: Path) -> None:
    """A minute of a clip of ten frames a second is 600 frames, at any speed of the box."""
    clips = Clips(configured(tmp_path), store, Samples())
    assert taken(clips, Measuring(clip="vtest", seconds=60.0)).clip.frames == 600
    assert taken(clips, Measuring(clip="vtest", seconds=0.1)).clip.frames == 10


def test_at_its_own_pace(store: Store, tmp_path: Path) -> None:
    """It goes at the file's rate, drops what nobody reads, and ends when its time is over, however few came."""
    footage = taken(Clips(configured(tmp_path), store, Samples()), Measuring(clip="vtest", frames=10))
    paced = footage.at_pace(5.0, 0.0)
    assert (paced.camera.pace, paced.camera.lossless, paced.camera.loop, paced.camera.fps_max) == (
        "native",
        False,
        True,
        5.0,
    )
    with closing(paced.open()) as source:
        assert source.read(60.0) is not None, "its time begins with its first frame"
        with pytest.raises(EndOfSource):
            source.read(60.0)
        assert source.counts().captured >= 1


def test_a_clip_that_is_not_here_is_told(store: Store, tmp_path: Path) -> None:
    """An unknown clip, and a network in place of one, are errors that say what to do."""
    clips = Clips(configured(tmp_path), store, Samples())
    with pytest.raises(ModelError) as caught:
        taken(clips, Measuring(clip="nowhere"))
    assert "models list" in caught.value.hint
    with pytest.raises(ModelError, match="not a clip"):
        taken(clips, Measuring(clip="movenet-multipose"))


def test_a_configured_file_is_looked_at_as_configured(store: Store, tmp_path: Path) -> None:
    """Without a name it is the configured file: turned, cut to its region, and every frame of it."""
    (tmp_path / "pictures").mkdir()
    for number in range(3):
        cv2.imwrite(str(tmp_path / "pictures" / f"{number}.png"), np.full((48, 64, 3), number * 50, np.uint8))
    config = configured(
        tmp_path,
        source=str(tmp_path / "pictures"),
        folder_fps=5,
        fps_max=2,
        rotate=90,
        roi={"x": 0.5, "y": 0.0, "width": 0.5, "height": 1.0},
    )
    footage = taken(Clips(config, store, Samples()), Measuring(seconds=3.0))
    assert footage.clip.model_dump() == {
        "name": "pictures",
        "frames": 15,
        "width": 48,
        "height": 64,
        "fps": pytest.approx(5.0),
    }
    frames = list(frames_of(footage))
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [0, 50, 100] * 5
    assert frames[0].region is not None
    assert frames[0].region.x == 24


def test_a_camera_is_not_recorded_without_permission(store: Store, tmp_path: Path) -> None:
    """Pictures of people reach the disk only where the configuration says so."""
    samples = Samples()
    with camera_running(samples), pytest.raises(ConfigError) as caught:
        taken(Clips(configured(tmp_path, source="/dev/video0"), store, samples), Measuring(frames=10))
    assert "benchmark.record_from_camera" in caught.value.hint
    assert left(tmp_path) == []


def test_a_camera_is_recorded_and_the_clip_deleted(store: Store, tmp_path: Path) -> None:
    """With permission the camera's frames become a private clip of their own pace, and are gone afterwards."""
    samples, told = Samples(), list[str]()
    roi = {"x": 0.25, "y": 0.0, "width": 0.5, "height": 1.0}
    clips = Clips(configured(tmp_path, record=True, source="/dev/video0", rotate=90, roi=roi), store, samples)
    with camera_running(samples), clips.footage(Measuring(frames=12), told.append, NEVER) as footage:
        assert samples.recorder is None
        assert footage.clip.model_dump() == {
            "name": "camera",
            "frames": 12,
            "width": 64,
            "height": 48,
            "fps": pytest.approx(FPS),
        }
        frames = list(frames_of(footage))
        assert frames[0].region == Region(16, 0, 32, 48)
        brightness = [int(frame.image[0, 0, 0]) for frame in frames]
        assert np.allclose(np.diff(brightness), 4, atol=2)
        (folder,) = (tmp_path / "state").iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert left(tmp_path) == []


@pytest.mark.parametrize("error", [CancelledError("enough"), RuntimeError("a defect")])
def test_a_recorded_clip_is_deleted_whatever_happens(error: Exception, store: Store, tmp_path: Path) -> None:
    """A benchmark that is cancelled or fails leaves no pictures behind."""
    samples = Samples()
    clips = Clips(configured(tmp_path, record=True, source="/dev/video0"), store, samples)

    def benchmark() -> None:
        with clips.footage(Measuring(frames=10), lambda _what: None, NEVER):
            assert len(left(tmp_path)) > 10
            raise error

    with camera_running(samples), pytest.raises(type(error)):
        benchmark()
    assert left(tmp_path) == []


def test_long_recordings_are_cut(store: Store, tmp_path: Path) -> None:
    """A clip fills no disk: it is read again from its start instead."""
    samples = Samples()
    clips = Clips(configured(tmp_path, record=True, source="/dev/video0"), store, samples)
    args = Measuring(frames=RECORDED_MAX + 5)
    with camera_running(samples), clips.footage(args, lambda _what: None, NEVER) as footage:
        assert len([name for name in left(tmp_path) if name.endswith(".jpg")]) == RECORDED_MAX
        assert len(list(frames_of(footage))) == RECORDED_MAX + 5


def test_an_agent_that_was_killed_goes_on_with_the_same_clip(store: Store, tmp_path: Path) -> None:
    """What a killed agent recorded in full is used by the next, so that its rows compare; half a clip is not."""
    samples = Samples()
    config = configured(tmp_path, record=True, source="/dev/video0")
    with camera_running(samples):
        killed = Clips(config, store, samples).footage(Measuring(frames=10), lambda _what: None, NEVER)
        before = [frame.image.tobytes() for frame in frames_of(killed.__enter__())]
    with Clips(config, store, Samples()).footage(Measuring(frames=10), lambda _what: None, NEVER) as footage:
        assert [frame.image.tobytes() for frame in frames_of(footage)] == before
    assert left(tmp_path) == []

    (tmp_path / "state" / "box-clip").mkdir()
    (tmp_path / "state" / "box-clip" / "00000.jpg").write_bytes(b"half")
    with (
        camera_running(samples),
        Clips(config, store, samples).footage(Measuring(frames=10), lambda _what: None, NEVER) as footage,
    ):
        assert len(list(frames_of(footage))) == 10


def test_what_a_killed_agent_left_can_be_forgotten(store: Store, tmp_path: Path) -> None:
    """Pictures of a benchmark that nobody goes on with do not stay."""
    samples = Samples()
    config = configured(tmp_path, record=True, source="/dev/video0")
    with camera_running(samples):
        killed = Clips(config, store, samples).footage(Measuring(frames=10), lambda _what: None, NEVER)
        killed.__enter__()
    clips = Clips(config, store, samples)
    assert left(tmp_path)
    clips.forget()
    clips.forget()
    assert left(tmp_path) == []


def test_a_camera_without_frames_is_told(store: Store, tmp_path: Path) -> None:
    """A lost camera gives no clip, and says so."""
    samples = Samples()
    clips = Clips(configured(tmp_path, record=True, source="/dev/video0"), store, samples)
    with camera_running(samples, frames=3), pytest.raises(CaptureError, match=r"3 frames in 0\.2 s"):
        taken(clips, Measuring(seconds=0.2))
    assert left(tmp_path) == []
    assert samples.recorder is None


def test_recording_can_be_cancelled(store: Store, tmp_path: Path) -> None:
    """Nobody waits for a clip that is not wanted any more."""
    samples, cancelled = Samples(), threading.Event()
    cancelled.set()
    clips = Clips(configured(tmp_path, record=True, source="/dev/video0"), store, samples)
    with pytest.raises(CancelledError), clips.footage(Measuring(), lambda _what: None, cancelled):
        pass
    assert left(tmp_path) == []
    assert samples.recorder is None


def test_a_full_disk_is_told(store: Store, tmp_path: Path) -> None:
    """Pictures that cannot be written end the recording with a reason, and not the pipeline."""
    samples = Samples()
    clips = Clips(configured(tmp_path, record=True, source="/dev/video0"), store, samples)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cv2, "imwrite", lambda *_args: False)
        with camera_running(samples), pytest.raises(EdgeposeError, match="cannot be written"):
            taken(clips, Measuring(frames=10))
    assert left(tmp_path) == []
