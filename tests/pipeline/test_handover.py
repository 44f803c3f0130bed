"""Promises of the pipeline while its engine is replaced, while it is paused, and while its engine fails."""

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.capture.frame import CaptureCounts, Frame, Image, Source
from agent.errors import EngineError
from agent.inference.engine import Engine, build_engine
from agent.inference.letterbox import Letterbox, prepare
from agent.inference.spec import EngineSpec
from agent.observe.telemetry import Timing
from agent.output.keypoints import encode_keypoints
from agent.pipeline import FAILURES_MAX, Handover, Lane, Pipeline, Result
from agent.poses.decoders import Decoder, decoder_for
from agent.poses.movenet import MoveNetDecoder
from agent.poses.skeleton import Poses
from agent.wire.messages import Keypoints
from models.shelf.store import Store
from tests import broken_networks
from tests.capture.helpers import opened
from tests.footage import clip_frames
from tests.inference.engines import CORE, Floats, heads_of, movenet

WAIT_S = 60.0
SIZES = ((96, 128), (64, 96))
DECODERS = tuple(MoveNetDecoder(person_score_min=0.02, persons_max=most) for most in (20, 2))
DARK: Image = np.zeros((64, 64, 3), np.uint8)
BRIGHT: Image = np.full((64, 64, 3), 120, np.uint8)


@pytest.fixture(scope="module")
def clip(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty frames of vtest in which both networks see people, the small one too."""
    path = tmp_path_factory.mktemp("clip") / "short.avi"
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (768, 576))
    for frame in clip_frames(store, range(24, 54)):
        video.write(frame.image)
    video.release()
    return path


@pytest.fixture(scope="module")
def two_engines(store: Store) -> tuple[Engine, Engine]:
    """One network at two input sizes: the same people come out at other places."""
    first, second = (movenet(store, size, requests=2) for size in SIZES)
    return first, second


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Small networks: one that works, one that raises and one that answers NaN to dark pictures."""
    folder = tmp_path_factory.mktemp("networks")
    for install in (broken_networks.sound, broken_networks.raises_in_the_dark, broken_networks.nan_in_the_dark):
        install(folder)
    return Store(folder)


def small(networks: Store, name: str, generation: int = 1) -> Lane:
    """A lane of one of the small networks."""
    card = networks.card(name)
    decoder = decoder_for(card, person_score_min=0.2, persons_max=20)
    spec = EngineSpec(name, "CPU", "FP32", 64, 64, requests=2)
    xml = networks.variant(name, "FP32")
    engine = build_engine(CORE, card, xml, spec, decoder.roles, None)
    engine.generation = generation
    return Lane(engine, decoder)


class Handed:
    """A source whose frames the test hands over, one by one."""

    def __init__(self) -> None:
        self._frames: queue.Queue[Frame] = queue.Queue()
        self._waiting = threading.Semaphore(0)

    def hand(self, seq: int, image: Image = BRIGHT) -> None:
        """A picture is taken now."""
        self._frames.put(Frame(image, seq, datetime.now(UTC), time.perf_counter(), 0.1))

    def all_taken(self) -> None:
        """Wait until somebody waits for the next frame, from now on."""
        while self._waiting.acquire(blocking=False):
            pass
        assert self._waiting.acquire(timeout=WAIT_S)

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame that was handed over."""
        if self._frames.empty():
            self._waiting.release()
        try:
            return self._frames.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def counts(self) -> CaptureCounts:
        """Nobody asks."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is held."""


class Run:
    """A pipeline and what came out of it, ended with the test."""

    def __init__(self, source: Source, lane: Lane) -> None:
        self.results: list[Result] = []
        self.timings: list[Timing] = []
        self.broken: list[tuple[str, int]] = []
        self.ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._news = threading.Condition()
        self.pipeline = Pipeline(
            source,
            lane,
            publish=self._on_result,
            timed=self.timings.append,
            on_end=self.ended.put,
            on_broken=lambda error, generation: self.broken.append((str(error), generation)),
        )

    def __enter__(self) -> "Run":
        self.pipeline.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.pipeline.stop(WAIT_S)

    def _on_result(self, result: Result) -> None:
        with self._news:
            self.results.append(result)
            self._news.notify_all()

    def wait(self, count: int) -> None:
        """Wait until so many results are out."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.results) >= count, WAIT_S), f"{len(self.results)} results"

    @property
    def numbers(self) -> list[int]:
        return [result.frame.seq for result in self.results]

    @property
    def engines(self) -> list[int]:
        return [result.engine for result in self.results]


def taken_over(run: Run, lane: Lane) -> Handover:
    """Replace the engine by another, under the next number, and wait for its first result."""
    lane.engine.generation = run.results[-1].engine + 1
    _old, handover = run.pipeline.replace(lane)
    assert handover.done.wait(WAIT_S)
    return handover


def test_no_frame_is_lost_and_each_is_of_the_engine_it_names(clip: Path, two_engines: tuple[Engine, Engine]) -> None:
    """Engines change between two frames: no hole, numbers only grow, and poses are those of the engine named."""
    lanes = [Lane(engine, decoder) for engine, decoder in zip(two_engines, DECODERS, strict=True)]
    lanes[0].engine.generation = 1
    with opened(source=str(clip), pace="fast", lossless=True, loop=True) as source, Run(source, lanes[0]) as run:
        run.wait(3)
        for turn in range(1, 6):
            handover = taken_over(run, lanes[turn % 2])
            assert handover.frames_lost == 0
            run.wait(len(run.results) + 3)
        run.pipeline.stop(WAIT_S)
    assert run.numbers == list(range(run.numbers[0], run.numbers[0] + len(run.results)))
    assert run.engines == sorted(run.engines)
    assert set(run.engines) == set(range(1, 7))
    compared = {result.engine for result in run.results if judge(result, lanes)}
    assert compared == set(range(1, 7)), "an engine was not compared: nobody was in its pictures"


def judge(result: Result, lanes: Sequence[Lane]) -> int:
    """Compare a result with each lane alone: it must be its own and not the other's. How many people there were."""
    own, other = (alone(lanes[(result.engine + turn) % 2], result.frame) for turn in (1, 0))
    np.testing.assert_allclose(result.poses.scores, own.scores, atol=1e-4)
    np.testing.assert_allclose(result.poses.boxes, own.boxes, atol=0.1)
    same = len(other) == len(own) and np.allclose(other.scores, own.scores, atol=1e-2)
    assert not (same and len(own)), "the two engines answer alike: they cannot be told apart"
    return len(result.poses)


def alone(lane: Lane, frame: Frame) -> Poses:
    picture = np.empty((lane.engine.spec.height, lane.engine.spec.width, 3), np.uint8)
    letterbox = prepare(frame, picture)
    assert isinstance(lane.engine, Engine)
    return lane.decoder.decode(heads_of(lane.engine, picture), letterbox)


def test_the_gap_is_that_between_two_results(clip: Path, two_engines: tuple[Engine, Engine]) -> None:
    """What is told of a handover is what happened: the gap between the last old and the first new result."""
    lanes = [Lane(engine, decoder) for engine, decoder in zip(two_engines, DECODERS, strict=True)]
    lanes[0].engine.generation = 1
    with opened(source=str(clip), pace="fast", lossless=True, loop=True) as source, Run(source, lanes[0]) as run:
        run.wait(3)
        handover = taken_over(run, lanes[1])
        run.wait(len(run.results) + 1)
        run.pipeline.stop(WAIT_S)
    first = run.engines.index(2)
    assert handover.generation == 2
    assert handover.first_s == run.timings[first].finished_s
    assert handover.gap_ms == pytest.approx((run.timings[first].finished_s - run.timings[first - 1].finished_s) * 1e3)


def test_frames_lost_in_between_are_counted(networks: Store) -> None:
    """Frames that were dropped between the two results are told, those before and after are not."""
    source = Handed()
    with Run(source, small(networks, "tiny-sound")) as run:
        for seq in (0, 4):
            source.hand(seq)
        run.wait(2)
        _old, handover = run.pipeline.replace(small(networks, "tiny-sound", 2))
        source.all_taken()  # the feeder has let go of the old engine
        for seq in (8, 12):
            source.hand(seq)
        assert handover.done.wait(WAIT_S)
        run.wait(4)
    assert (run.numbers, run.engines) == ([0, 4, 8, 12], [1, 1, 2, 2])
    assert handover.frames_lost == 3


def test_the_old_engine_may_be_closed_at_once(networks: Store, clip: Path) -> None:
    """Closed while its last frames are on the device, it gives them out before it goes: no frame is missing."""
    with (
        opened(source=str(clip), pace="fast", lossless=True, loop=True) as source,
        Run(source, small(networks, "tiny-sound")) as run,
    ):
        for generation in range(2, 6):
            run.wait(len(run.results) + 3)
            old, handover = run.pipeline.replace(small(networks, "tiny-sound", generation))
            old.engine.close()
            assert handover.done.wait(WAIT_S)
        run.pipeline.stop(WAIT_S)
        assert run.ended.get(timeout=WAIT_S) is None
    assert run.numbers == list(range(run.numbers[0], run.numbers[0] + len(run.results)))
    assert sorted(set(run.engines)) == [1, 2, 3, 4, 5]


@pytest.fixture
def paused(networks: Store) -> Iterator[tuple[Handed, Run]]:
    """A pipeline that was paused while it waited for a frame."""
    source = Handed()
    with Run(source, small(networks, "tiny-sound")) as run:
        source.hand(0)
        run.wait(1)
        source.all_taken()
        run.pipeline.pause()
        yield source, run


def test_nothing_of_a_pause_is_published(paused: tuple[Handed, Run]) -> None:
    """No frame captured between pause and resume comes out, neither then nor later; those after resume do."""
    source, run = paused
    for seq in (1, 2, 3):
        source.hand(seq)
    run.pipeline.resume()
    for seq in (4, 5):
        source.hand(seq)
    run.wait(3)
    assert run.numbers == [0, 4, 5]


def test_a_stop_in_a_pause_lets_nothing_out(paused: tuple[Handed, Run]) -> None:
    """Stopped while it is paused, the pipeline ends without publishing what came meanwhile."""
    source, run = paused
    for seq in (1, 2, 3):
        source.hand(seq)
    run.pipeline.stop(WAIT_S)
    assert run.ended.get(timeout=WAIT_S) is None
    assert run.numbers == [0]


def test_an_engine_replaced_in_a_pause_begins_with_the_resume(paused: tuple[Handed, Run], networks: Store) -> None:
    """A handover in a pause waits: nothing is published by either engine until frames flow again."""
    source, run = paused
    _old, handover = run.pipeline.replace(small(networks, "tiny-sound", 2))
    source.hand(1)
    assert not handover.done.is_set()
    assert handover.gap_ms is None
    run.pipeline.resume()
    source.hand(2)
    assert handover.done.wait(WAIT_S)
    assert (run.numbers, run.engines) == ([0, 2], [1, 2])


def hand_all(source: Handed, pictures: Sequence[Image], first: int) -> None:
    for seq, picture in enumerate(pictures, first):
        source.hand(seq, picture)


class Strict:
    """Reads as another decoder does, and fails on what is no number: three dark pictures in a row, three failures."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self.roles = decoder.roles

    def decode(self, raw: tuple[Floats, ...], letterbox: Letterbox) -> Poses:
        if not all(np.isfinite(output).all() for output in raw):
            raise EngineError("its output is not finite")
        return self._decoder.decode(raw, letterbox)


def strict(networks: Store, generation: int = 1) -> Lane:
    """An engine that fails on dark pictures."""
    lane = small(networks, "tiny-blind", generation)
    return Lane(lane.engine, Strict(lane.decoder))


def test_a_failed_inference_costs_its_frame_alone(networks: Store) -> None:
    """What OpenVINO fails at is skipped, nothing is told of a single one, and no slot is lost."""
    source = Handed()
    lane = small(networks, "tiny-raising")
    with Run(source, lane) as run:
        hand_all(source, [BRIGHT, DARK] * 6 + [BRIGHT], first=0)
        run.wait(7)
    assert run.numbers == list(range(0, 13, 2))
    assert run.broken == []
    assert all(lane.engine.acquire(timeout_s=0.1) for _ in range(lane.engine.facts.infer_requests))


def test_every_third_failure_in_a_row_is_told(networks: Store) -> None:
    """One or two are skipped in silence, and a success begins anew; each third is told with its engine's number."""
    source = Handed()
    with Run(source, strict(networks, 7)) as run:
        hand_all(source, [DARK, DARK, BRIGHT, DARK, DARK, BRIGHT], first=0)
        run.wait(2)
        assert run.broken == []
        hand_all(source, [*[DARK] * (2 * FAILURES_MAX + 1), BRIGHT], first=6)
        run.wait(3)
    assert run.numbers == [2, 5, 13]
    assert run.broken == [("its output is not finite", 7)] * 2


def test_a_replaced_engine_takes_over_from_one_that_fails(networks: Store) -> None:
    """The pipeline outlives its engine: the next one goes on with the next frame, and its own failures count anew."""
    source = Handed()
    failing = strict(networks)
    with Run(source, failing) as run:
        hand_all(source, [BRIGHT, *[DARK] * (FAILURES_MAX + 2)], first=0)
        source.all_taken()
        run.pipeline.replace(strict(networks, 2))
        source.all_taken()  # the feeder has let go of the old engine
        hand_all(source, [DARK, BRIGHT], first=6)
        run.wait(2)
    assert (run.numbers, run.engines) == ([0, 7], [1, 2])
    assert [generation for _reason, generation in run.broken] == [1]
    failing.engine.close()


def test_nobody_is_seen_in_what_is_no_number(networks: Store) -> None:
    """An engine that answers NaN in use sees nobody: no message with NaN goes out, and the pipeline goes on."""
    source = Handed()
    with Run(source, small(networks, "tiny-blind")) as run:
        hand_all(source, [BRIGHT, DARK, DARK, DARK, BRIGHT], first=0)
        run.wait(5)
    assert run.numbers == [0, 1, 2, 3, 4]
    assert [Keypoints.decode(encode_keypoints(result, "demo")).persons for result in run.results] == [()] * 5


def test_without_a_listener_a_failure_ends_the_pipeline(networks: Store) -> None:
    """Nobody to have another engine from: the first inference that fails is the end, with its error."""
    source = Handed()
    ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
    pipeline = Pipeline(
        source,
        small(networks, "tiny-raising"),
        publish=lambda result: None,
        timed=lambda timing: None,
        on_end=ended.put,
    )
    pipeline.start()
    source.hand(0, DARK)
    assert isinstance(ended.get(timeout=WAIT_S), EngineError)
    pipeline.stop(WAIT_S)
