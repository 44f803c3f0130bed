"""Promises of the pipeline, with a real engine and real sources."""

import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from agent.capture.frame import Frame, Source
from agent.errors import CaptureError, EngineError
from agent.inference.engine import Engine
from agent.inference.letterbox import Letterbox, prepare
from agent.observe.telemetry import Timing
from agent.pipeline import Lane, Pipeline, Result
from agent.poses.decoders import Decoder
from agent.poses.movenet import MoveNetDecoder
from agent.poses.skeleton import Poses
from models.shelf.store import Store
from tests.broker import free_port
from tests.capture.helpers import next_frame, opened
from tests.capture.pictures import write_video
from tests.footage import clip_frames
from tests.inference.engines import heads_of, movenet

FRAMES = 60
SIZE = (96, 128)
WAIT_S = 60.0
EVERYBODY = MoveNetDecoder(person_score_min=0.02, persons_max=20)


@pytest.fixture(scope="module")
def clip(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first sixty frames of vtest."""
    path = tmp_path_factory.mktemp("clip") / "short.avi"
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (768, 576))
    for frame in clip_frames(store, range(FRAMES)):
        video.write(frame.image)
    video.release()
    return path


@pytest.fixture(scope="module")
def shared_engine(store: Store) -> Engine:
    return movenet(store, SIZE, requests=2)


@pytest.fixture
def engine(shared_engine: Engine) -> Iterator[Engine]:
    """An engine of three slots that must come back whole."""
    yield shared_engine
    check_whole(shared_engine)


def check_whole(engine: Engine) -> None:
    slots = [engine.acquire(timeout_s=0.1) for _ in range(engine.facts.infer_requests)]
    lost = slots.count(None)
    for slot in slots:
        if slot is not None:
            engine.release(slot)
    assert not lost, f"{lost} of {len(slots)} slots are lost"


class Run:
    """A pipeline and what came out of it."""

    def __init__(
        self,
        source: Source,
        engine: Engine,
        *,
        decoder: Decoder = EVERYBODY,
        publish: Callable[[Result], None] = lambda result: None,
    ) -> None:
        self.results: list[Result] = []
        self.timings: list[Timing] = []
        self.published = threading.Semaphore(0)
        self._ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._publish = publish
        self.pipeline = Pipeline(
            source,
            Lane(engine, decoder),
            publish=self._on_result,
            timed=self.timings.append,
            on_end=self._ended.put,
        )

    def _on_result(self, result: Result) -> None:
        self._publish(result)
        self.results.append(result)
        self.published.release()

    def end(self) -> BaseException | None:
        """Wait for the end and return what it was; both threads must be gone, and tell of it once."""
        error = self._ended.get(timeout=WAIT_S)
        for thread in threading.enumerate():
            if thread.name in {"feeder", "finisher"}:
                thread.join(WAIT_S)
                assert not thread.is_alive(), f"the {thread.name} hangs"
        assert self._ended.empty(), "the end was told twice"
        return error

    @property
    def numbers(self) -> list[int]:
        return [result.frame.seq for result in self.results]


def test_every_frame_comes_out_in_order_with_its_own_people(clip: Path, engine: Engine) -> None:
    """Of a lossless source no frame is lost or overtaken, and each gets the people of its own picture."""
    with opened(source=str(clip), pace="fast", lossless=True) as source:
        run = Run(source, engine)
        run.pipeline.start()
        assert run.end() is None
    assert len(run.results) == FRAMES
    assert run.numbers == list(range(run.numbers[0], run.numbers[0] + FRAMES))
    assert sum(len(result.poses) for result in run.results) > FRAMES
    picture = np.empty((*SIZE, 3), np.uint8)
    for result in run.results:
        letterbox = prepare(result.frame, picture)
        alone = EVERYBODY.decode(heads_of(engine, picture), letterbox)
        np.testing.assert_allclose(result.poses.scores, alone.scores, atol=1e-4)
        np.testing.assert_allclose(result.poses.boxes, alone.boxes, atol=0.1)


def test_the_frame_handed_over_is_the_first(clip: Path, engine: Engine) -> None:
    """A frame that was taken before the start is processed before any other, and once."""
    with opened(source=str(clip), pace="fast", lossless=True) as source:
        first = next_frame(source)
        run = Run(source, engine)
        run.pipeline.start(first)
        assert run.end() is None
    assert run.results[0].frame is first
    assert run.numbers == list(range(first.seq, first.seq + FRAMES))


def test_who_rests_has_given_everything_out(clip: Path, engine: Engine) -> None:
    """A rest has begun when all that was on the device is published, and not before; it lasts until the resume."""
    publishing, go_on = threading.Event(), threading.Event()

    def publish(_result: Result) -> None:
        publishing.set()
        assert go_on.wait(WAIT_S)

    with opened(source=str(clip), pace="fast", lossless=True, loop=True) as source:
        run = Run(source, engine, publish=publish)
        run.pipeline.start()
        assert publishing.wait(WAIT_S)
        assert not run.pipeline.rest(0.0)
        go_on.set()
        assert run.pipeline.rest(WAIT_S)
        assert run.pipeline.begun == len(run.results)
        before = len(run.results)
        run.pipeline.resume()
        for _ in range(before + 2):
            assert run.published.acquire(timeout=WAIT_S)
        run.pipeline.stop(WAIT_S)
        assert run.end() is None


def test_every_result_is_timed(clip: Path, engine: Engine) -> None:
    """Each frame has one timing whose parts are measured, make sense together, and count its people."""
    with opened(source=str(clip), pace="fast", lossless=True) as source:
        run = Run(source, engine)
        run.pipeline.start()
        run.end()
    assert [timing.persons for timing in run.timings] == [len(result.poses) for result in run.results]
    finished = [timing.finished_s for timing in run.timings]
    assert finished == sorted(finished)
    for timing in run.timings:
        assert min(timing.capture_ms, timing.prepare_ms, timing.infer_ms, timing.decode_ms) > 0
        # Preparing ends with the start of inference and may be overtaken by it: the two overlap.
        assert timing.age_ms >= timing.infer_ms + timing.decode_ms + timing.publish_ms
        assert timing.age_ms >= timing.prepare_ms + timing.decode_ms + timing.publish_ms


def test_results_carry_the_engine_that_computed_them(clip: Path, engine: Engine) -> None:
    """Every result says which network and which generation of the engine it comes from."""
    with opened(source=str(clip), pace="fast", lossless=True) as source:
        run = Run(source, engine)
        run.pipeline.start()
        run.end()
    assert {(result.engine, result.model) for result in run.results} == {(engine.generation, "movenet-multipose")}


def test_no_slot_is_lost_at_the_end_of_a_source(tmp_path: Path, engine: Engine) -> None:
    """An engine outlives many short sources: each end gives back the slot that waited for a frame that never came."""
    for number in range(2):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((96, 128, 3), 40 * number, np.uint8))
    for _ in range(2 * engine.facts.infer_requests + 1):
        with opened(source=str(tmp_path), pace="fast", lossless=True) as source:
            run = Run(source, engine)
            run.pipeline.start()
            assert run.end() is None
            assert len(run.results) == 2


def test_stop_finishes_what_is_on_the_device(clip: Path, engine: Engine) -> None:
    """Stopped in full flow, the pipeline publishes what it has begun, in order, and ends without an error."""
    with opened(source=str(clip), pace="fast", lossless=True, loop=True) as source:
        run = Run(source, engine)
        run.pipeline.start()
        for _ in range(10):
            assert run.published.acquire(timeout=WAIT_S)
        run.pipeline.stop()
        assert run.end() is None
        taken = source.counts().captured
    assert run.numbers == list(range(run.numbers[0], run.numbers[0] + taken))


def test_stop_returns_while_the_camera_is_dark(engine: Engine) -> None:
    """A camera that gives no frame does not hold up the stop: when it returns, both threads are gone."""
    with opened(source=f"http://127.0.0.1:{free_port()}/nobody.mjpg") as source:
        run = Run(source, engine)
        run.pipeline.start()
        run.pipeline.stop()
        assert not {"feeder", "finisher"} & {thread.name for thread in threading.enumerate()}
        assert run.end() is None
    assert not run.results


def test_an_unreadable_source_ends_the_pipeline(tmp_path: Path, engine: Engine) -> None:
    """An error of the source is told at the end, after everything before it was published."""
    video = write_video(tmp_path / "a.avi", 3)
    with opened(source=str(video), pace="fast", lossless=True, loop=True) as source:
        video.unlink()  # it is opened again at its end
        run = Run(source, engine)
        run.pipeline.start()
        error = run.end()
    assert isinstance(error, CaptureError)
    assert "a.avi" in str(error)
    assert len(run.results) == 3


class FailingDecoder:
    """Fails at the given frame."""

    roles = EVERYBODY.roles

    def __init__(self, at: int) -> None:
        self._left = at

    def decode(self, raw: tuple[NDArray[np.float32], ...], letterbox: Letterbox) -> Poses:
        self._left -= 1
        if self._left < 0:
            raise EngineError("cannot decode")
        return EVERYBODY.decode(raw, letterbox)


def failing_publish(at: int) -> Callable[[Result], None]:
    left = iter(range(at))

    def publish(result: Result) -> None:
        if next(left, None) is None:
            raise EngineError("cannot publish")

    return publish


def failing(fault: str, source: Source, engine: Engine) -> Run:
    """Make a pipeline that fails at its eighth frame."""
    if fault == "decode":
        return Run(source, engine, decoder=FailingDecoder(at=7))
    return Run(source, engine, publish=failing_publish(at=7))


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("fault", ["decode", "publish"])
def test_a_failure_ends_the_pipeline_with_its_error(fault: str, loop: bool, clip: Path, store: Store) -> None:
    """When decoding or publishing fails, the end is told with that error, and no thread is left waiting."""
    with opened(source=str(clip), pace="fast", lossless=True, loop=loop) as source:
        run = failing(fault, source, movenet(store, (32, 32)))
        run.pipeline.start()
        error = run.end()
        run.pipeline.stop()
    assert isinstance(error, EngineError)
    assert str(error) == f"cannot {fault}"
    assert run.numbers == list(range(run.numbers[0], run.numbers[0] + 7))


def test_a_failure_on_the_first_frame_is_told(store: Store) -> None:
    """A first frame no letterbox can take ends the pipeline with the error instead of a silent wait."""
    (frame,) = clip_frames(store, [0])
    empty = Frame(np.empty((0, 0, 3), np.uint8), 0, frame.captured_at, 0.0, 0.0)
    with opened(source=f"http://127.0.0.1:{free_port()}/nobody.mjpg") as source:
        run = Run(source, movenet(store, (32, 32)))
        run.pipeline.start(empty)
        assert isinstance(run.end(), ZeroDivisionError)


@pytest.mark.parametrize("fault", ["decode", "publish"])
def test_a_failure_leaves_the_engine_whole(fault: str, clip: Path, store: Store) -> None:
    """After a failure every slot comes back, so that closing the engine waits for nothing."""
    engine = movenet(store, (32, 32), requests=3)
    with opened(source=str(clip), pace="fast", lossless=True) as source:
        run = failing(fault, source, engine)
        run.pipeline.start()
        run.end()
    check_whole(engine)
