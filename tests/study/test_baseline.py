"""Promises of the baseline: the original model in OpenCV."""

import threading
from contextlib import closing

import cv2
import pytest

from agent.benchmark.baseline import Original
from agent.benchmark.measure import Measured, agree, run_once
from agent.capture import open_source
from agent.capture.first import FirstFrames
from agent.capture.frame import Source
from agent.config.tree import Camera, Smoothing, Tracking
from agent.errors import CancelledError, ModelError
from agent.inference.engine import build_engine
from agent.inference.spec import EngineSpec
from agent.observe.telemetry import STAGES
from agent.pipeline import Lane
from agent.poses.decoders import Decoder, decoder_for
from agent.poses.skeleton import Poses
from agent.tracking import Track, track_stage
from models.shelf.catalogue import NetworkCard
from models.shelf.store import Store
from tests.inference.engines import CARD, CORE
from tests.study.runs import NOISY, Told

FRAMES = 5
SIZE = (288, 384)
NEVER = threading.Event()


def clip(store: Store) -> Source:
    camera = Camera(source="clip:vtest", pace="fast", lossless=True, loop=True)
    return FirstFrames(open_source(camera, resolve_clip=store.clip, notify=lambda _event: None), FRAMES)


def decoder(card: NetworkCard = CARD) -> Decoder:
    return decoder_for(card, person_score_min=0.05, persons_max=20)


def original(
    store: Store, card: NetworkCard = CARD, *, cancelled: threading.Event = NEVER, track: Track | None = None
) -> Measured:
    with closing(clip(store)) as source:
        return Original(store, card, SIZE, decoder(card)).run_once(
            source, track=track, meter=Told(NOISY), cancelled=cancelled, keep_poses=True
        )


def with_openvino(store: Store, card: NetworkCard = CARD) -> Measured:
    spec = EngineSpec(card.name, "CPU", "FP32", *SIZE)
    xml = store.variant(card.name, "FP32")
    with build_engine(CORE, card, xml, spec, decoder().roles, None) as engine, closing(clip(store)) as source:
        lane = Lane(engine, decoder(card))
        return run_once(lane, source, track=None, meter=Told(), cancelled=NEVER, keep_poses=True)


@pytest.mark.parametrize("colours", ["its own", "shifted and scaled"])
def test_the_original_finds_whom_openvino_finds(colours: str, store: Store) -> None:
    """The baseline's people are those of OpenVINO at FP32, frame by frame, also where the input is normalised."""
    card = CARD
    if colours != "its own":
        changed = card.input.model_copy(update={"mean": (20.0, 5.0, -10.0), "scale": (1.1, 0.9, 1.3)})
        card = card.model_copy(update={"input": changed})
    found = agree(with_openvino(store, card).poses, original(store, card).poses)
    assert found.people >= 1
    assert (found.frames, found.missed, found.invented) == (FRAMES, 0, 0)
    assert found.mean_oks == pytest.approx(1.0, abs=1e-3)


def test_a_run_of_the_original_is_a_run_like_any_other(store: Store) -> None:
    """The same figures come of it: every frame, all stages, how the machine was disturbed, and poses as decoded."""
    follow = track_stage(Tracking(), Smoothing())
    assert follow is not None
    measured = original(store, track=follow)
    assert all(poses.ids is None for poses in measured.poses)
    run = measured.run
    assert run.frames == len(measured.poses) == len(measured.latencies_ms) == FRAMES
    assert run.fps == pytest.approx(run.frames / run.seconds)
    assert tuple(run.stages_ms) == STAGES
    assert min(run.stages_ms.values()) > 0
    assert run.disturbed is not None


def test_opencv_has_its_own_number_of_threads_meanwhile(store: Store) -> None:
    """The original is not held back by what the agent allows OpenCV, and the agent gets back what it had."""
    before = cv2.getNumThreads()
    seen: list[int] = []

    def track(poses: Poses, _at_s: float) -> Poses:
        seen.append(cv2.getNumThreads())
        return poses

    try:
        cv2.setNumThreads(-1)
        default = cv2.getNumThreads()
        cv2.setNumThreads(1)
        original(store, track=track)
        assert cv2.getNumThreads() == 1
        assert set(seen) == {default}
    finally:
        cv2.setNumThreads(before)


def test_the_baseline_can_be_cancelled(store: Store) -> None:
    """No frame is begun after the one during which it was cancelled."""
    cancelled, seen = threading.Event(), 0

    def track(poses: Poses, _at_s: float) -> Poses:
        nonlocal seen
        seen += 1
        cancelled.set()
        return poses

    with pytest.raises(CancelledError):
        original(store, cancelled=cancelled, track=track)
    assert seen == 1


def test_networks_without_an_original_are_told(store: Store, openpose_store: Store) -> None:
    """Networks that come as IR, and sizes that OpenCV cannot run, are ModelErrors that say so."""
    ir = openpose_store.card("human-pose-estimation-0001")
    with pytest.raises(ModelError, match="without an original"):
        Original(store, ir, (256, 456), decoder(ir))
    frozen = openpose_store.card("openpose-mobilenet-v2-small")
    with pytest.raises(ModelError, match="cannot run the original openpose-mobilenet-v2-small at 216x184"):
        Original(openpose_store, frozen, (184, 216), decoder(frozen))
    Original(openpose_store, frozen, (176, 208), decoder(frozen))
