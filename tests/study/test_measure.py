"""Promises of one run, with the real pipeline, network and clip."""

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.benchmark.clips import Clips, Footage
from agent.benchmark.load import Meter
from agent.benchmark.measure import Measured, agree, run_once
from agent.capture.frame import CaptureCounts, Frame, Source
from agent.config.tree import Config, Smoothing, Tracking
from agent.control.samples import Samples
from agent.errors import CancelledError, CaptureError, EngineError
from agent.inference.devices import open_core
from agent.inference.engine import Engine, build_engine
from agent.inference.spec import EngineSpec
from agent.observe.telemetry import STAGES
from agent.pipeline import Lane, infer
from agent.poses.movenet import MoveNetDecoder
from agent.poses.skeleton import Poses
from agent.tracking import Track, track_stage
from agent.wire.commands import Measuring
from models.shelf.store import Store
from tests.broken_networks import raises_in_the_dark
from tests.footage import clip_frames
from tests.inference.engines import movenet
from tests.pipeline.test_pipeline import check_whole
from tests.study.runs import NOISY, QUIET, Told

EVERYBODY = MoveNetDecoder(person_score_min=0.02, persons_max=20)
FRAMES = 12


@pytest.fixture(scope="module")
def shared_engine(store: Store) -> Engine:
    return movenet(store, (96, 128), requests=2)


@pytest.fixture
def engine(shared_engine: Engine) -> Iterator[Engine]:
    """An engine that must come back whole."""
    yield shared_engine
    check_whole(shared_engine)


@pytest.fixture(scope="module")
def vtest(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Footage:
    return looked_at(store, tmp_path_factory.mktemp("state"), clip="vtest")


def looked_at(store: Store, state: Path, frames: int = FRAMES, **wanted: str) -> Footage:
    """So many frames of a clip, or of a file."""
    clip = wanted.pop("clip", None)
    config = Config.model_validate({"paths": {"state": state}, "camera": wanted or {}})
    with Clips(config, store, Samples()).footage(
        Measuring(frames=frames, clip=clip), lambda _what: None, threading.Event()
    ) as footage:
        return footage


def run(
    engine: Engine,
    footage: Footage,
    *,
    track: Track | None = None,
    meter: Meter | None = None,
    cancelled: threading.Event | None = None,
) -> Measured:
    with closing(footage.open()) as source:
        return run_once(
            Lane(engine, EVERYBODY),
            source,
            track=track,
            meter=meter or Told(),
            cancelled=cancelled or threading.Event(),
            keep_poses=True,
        )


def followed() -> Track:
    track = track_stage(Tracking(), Smoothing())
    assert track is not None
    return track


def test_a_run_is_every_frame_of_the_clip_as_the_application_sees_it(
    engine: Engine, vtest: Footage, store: Store
) -> None:
    """Each frame's poses are those of the network alone on that frame; tracking does not change what is compared."""
    measured = run(engine, vtest, track=followed())
    assert measured.run.frames == len(measured.poses) == len(measured.latencies_ms) == FRAMES
    assert sum(map(len, measured.poses)) > 0
    for frame, found in zip(clip_frames(store, range(FRAMES)), measured.poses, strict=True):
        alone = infer(engine, EVERYBODY, frame)
        np.testing.assert_allclose(found.keypoints, alone.keypoints, atol=1e-3)


def test_figures_fit_together(engine: Engine, vtest: Footage) -> None:
    """The rate is frames over seconds, all stages are there, and latencies stand in order."""
    found = run(engine, vtest, track=followed(), meter=Told(QUIET)).run
    assert found.fps == pytest.approx(found.frames / found.seconds)
    assert tuple(found.stages_ms) == STAGES
    assert min(found.stages_ms.values()) > 0
    assert found.stages_ms["infer"] == pytest.approx(found.latency_ms_mean)
    ordered = ("min", "p50", "p95", "p99", "max")
    values = [getattr(found, f"latency_ms_{name}") for name in ordered]
    assert values == sorted(values)
    assert (found.cpu_percent, found.disturbed) == (QUIET.cpu_percent, None)


def test_runs_are_alike(engine: Engine, vtest: Footage) -> None:
    """A second run begins at the first frame again and finds the same people."""
    first, second = run(engine, vtest), run(engine, vtest)
    assert agree(first.poses, second.poses).missed == 0
    for one, other in zip(first.poses, second.poses, strict=True):
        np.testing.assert_array_equal(one.keypoints, other.keypoints)


def test_a_short_clip_is_read_again(engine: Engine, store: Store, tmp_path: Path) -> None:
    """A run has as many frames as were asked for, however short the clip is."""
    (picture,) = clip_frames(store, [3])
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "one.png"), picture.image)
    footage = looked_at(store, tmp_path, frames=10, source=str(tmp_path / "pictures"))
    assert run(engine, footage).run.frames == 10


def test_a_disturbed_run_is_marked(engine: Engine, vtest: Footage) -> None:
    """What the meter saw of others stands in the run."""
    found = run(engine, vtest, meter=Told(NOISY)).run
    assert found.others_percent == NOISY.others_percent
    assert "other processes took 60 %" in (found.disturbed or "")


def test_cancelling_ends_a_run_within_a_frame_or_two(engine: Engine, vtest: Footage) -> None:
    """Nothing is waited for but what is on the device; the engine can be used at once."""
    cancelled = threading.Event()
    seen = 0

    def third(poses: Poses, _at_s: float) -> Poses:
        nonlocal seen
        seen += 1
        if seen == 3:
            cancelled.set()
            never.wait(0.5)  # the run has noticed by then
        return poses

    never = threading.Event()
    with pytest.raises(CancelledError):
        run(engine, vtest, track=third, cancelled=cancelled)
    assert seen <= 3 + engine.facts.infer_requests
    check_whole(engine)


class Switched:
    """A source whose frames go dark after a few."""

    def __init__(self, bright: int) -> None:
        self._left = bright

    def read(self, timeout_s: float) -> Frame | None:
        self._left -= 1
        image = np.full((64, 64, 3), 200 if self._left >= 0 else 0, np.uint8)
        return Frame(image, -self._left, datetime.now(UTC), 0.0, 0.0, media_s=0.0)

    def counts(self) -> CaptureCounts:
        return CaptureCounts(0, 0)

    def close(self) -> None:
        pass


def test_an_engine_that_fails_says_so(tmp_path: Path) -> None:
    """A run whose inference fails is an EngineError, not a shorter run."""
    name = raises_in_the_dark(tmp_path)
    store = Store(tmp_path)
    card = store.card(name)
    spec = EngineSpec(name, "CPU", "FP32", 64, 64)
    xml = store.variant(name, "FP32")
    with build_engine(open_core({}), card, xml, spec, EVERYBODY.roles, cache=None) as engine:
        source: Source = Switched(bright=4)
        with pytest.raises(EngineError, match="inference failed"):
            run_once(Lane(engine, EVERYBODY), source, track=None, meter=Told(), cancelled=threading.Event())
        check_whole(engine)


def test_frames_that_cannot_be_read_say_so(engine: Engine, store: Store, tmp_path: Path) -> None:
    """A damaged picture in the clip is a CaptureError: nothing is compared that was not looked at."""
    (picture,) = clip_frames(store, [3])
    for number in range(4):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture.image)
    footage = looked_at(store, tmp_path, frames=10, source=str(tmp_path))
    (tmp_path / "3.png").write_bytes(b"no picture")
    with pytest.raises(CaptureError, match="pictures of the clip cannot be decoded"):
        run(engine, footage)


def test_agreement_counts_whom_the_other_misses() -> None:
    """A network agrees with itself, and one that finds nobody misses everybody."""
    person = Poses(
        np.stack((np.linspace(10, 90, 34).reshape(17, 2)[:, 0], np.linspace(20, 150, 17), np.ones(17)), axis=1)[
            None
        ].astype(np.float32),
        np.array([[10, 20, 80, 130]], np.float32),
        np.array([0.9], np.float32),
    )
    frames = [person, Poses.nobody(), person]
    assert agree(frames, frames).model_dump(exclude_none=True) == {
        "frames": 3,
        "people": 2,
        "missed": 0,
        "invented": 0,
        "mean_oks": pytest.approx(1.0),
    }
    assert agree(frames, [Poses.nobody()] * 3).missed == 2
    with pytest.raises(ValueError, match="shorter"):
        agree(frames, frames[:2])
