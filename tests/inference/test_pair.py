"""Two stages as one network: who is found, followed and lost, and what it costs."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.capture.frame import CaptureCounts, EndOfSource, Frame, Region
from agent.config.tree import Config, Inference, Model
from agent.control.settings import Settings
from agent.control.workshop import CheckedLane, Workshop
from agent.errors import ConfigError, EngineError
from agent.inference.build import build
from agent.inference.engine import Engine, Slot
from agent.inference.pair import EXPECTED_S, Pair, Stages
from agent.inference.spec import EngineSpec
from agent.pipeline import Pipeline, Result, infer
from agent.poses.skeleton import Poses
from agent.poses.yolox import Detections
from models.shelf import catalogue
from models.shelf.catalogue import NetworkCard
from models.shelf.store import Store
from tests.footage import as_frame
from tests.inference import stages
from tests.inference.engines import CORE

Floats = NDArray[np.float32]
SIZE = (256, 320)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("store"))
    stages.install(tmp_path_factory.mktemp("exports"), store)
    return store


def built(
    store: Store,
    device: str = "CPU",
    every: int = 4,
    most: int = 20,
    precision: str = "FP32",
    detector: str | None = None,
) -> CheckedLane:
    config = Config(
        model=Model(name=stages.POSE, detect_every=every, persons_max=most), inference=Inference(cache=False)
    )
    settings = Settings.of(config).model_copy(update={"device": device, "precision": precision, "detector": detector})
    return Workshop(config, CORE, store).build(settings, [picture((160, 128))], threading.Event())


@pytest.fixture
def lane(store: Store) -> Iterator[CheckedLane]:
    checked = built(store)
    yield checked
    checked.lane.engine.close()


def picture(*people: tuple[int, int], seq: int = 0) -> Frame:
    """Black, with a red spot at each x and y, in the blue cell of 8 pixels that the detector sees."""
    image = np.zeros((*SIZE, 3), np.uint8)
    for x, y in people:
        image[y // 8 * 8 : y // 8 * 8 + 8, x // 8 * 8 : x // 8 * 8 + 8, 0] = 255
    for x, y in people:
        image[y - 2 : y + 2, x - 2 : x + 2, 2] = 255
    return replace(as_frame(image), seq=seq)


def follow(checked: CheckedLane, frames: list[Frame]) -> tuple[list[Poses], list[bool]]:
    """Frames through the lane as the pipeline gives them to it; the people, and where the detector looked."""
    engine, found, looked = checked.lane.engine, [], []
    for frame in frames:
        slot = engine.acquire(10)
        assert slot is not None
        letterbox = slot.take(frame)
        slot.start()
        slot.wait()
        found.append(checked.lane.decoder.decode(slot.outputs, letterbox))
        assert slot.stages_ms is not None
        looked.append(slot.stages_ms[0] > 0)
        engine.release(slot)
    return found, looked


def places(poses: Poses) -> list[tuple[int, int]]:
    """Where the people are, from left to right, to 5 pixels."""
    spots = poses.keypoints[:, stages.MIDDLE, :2]
    return sorted((round(float(x) / 5) * 5, round(float(y) / 5) * 5) for x, y in spots)


def test_people_are_where_they_are_drawn(lane: CheckedLane) -> None:
    """Everybody the detector finds gets the pose of their own crop, back in pixels of the frame, feet included."""
    poses = infer(lane.lane.engine, lane.lane.decoder, picture((80, 100), (240, 160)))
    assert places(poses) == [(80, 100), (240, 160)]
    assert poses.feet is not None
    # Joints 20 to 24 stand as 15 to 19 do, the heel of the right foot as the first of them.
    np.testing.assert_allclose(poses.feet[:, [0, 1, 5], :2], poses.keypoints[:, [15, 16, 15], :2], atol=30)


def test_between_detections_people_are_followed(lane: CheckedLane) -> None:
    """The detector looks at every fourth frame; in between those known are found where they went, nobody else is."""
    way = [(80 + 6 * step, 100 + 2 * step) for step in range(9)]
    newcomer = (248, 160)
    frames = [picture(place, *[newcomer][: step >= 2], seq=step) for step, place in enumerate(way)]
    found, looked = follow(lane, frames)
    assert looked == [True, False, False, False, True, False, False, False, True]
    assert [len(poses) for poses in found] == [1, 1, 1, 1, 2, 2, 2, 2, 2]
    for poses, (x, y) in zip(found, way, strict=True):
        assert min(abs(px - x) + abs(py - y) for px, py in places(poses)) <= 8


def test_who_was_seen_too_long_ago_is_expected_nowhere(lane: CheckedLane) -> None:
    """Where frames come far apart people are out of their boxes: the detector looks at each, whatever its period.

    Else a part of a walker is found where they were, beside themselves.
    """
    moments = [0.0, 0.1, 0.2, 0.2 + 1.5 * EXPECTED_S, 0.2 + 3 * EXPECTED_S, 0.3 + 3 * EXPECTED_S]
    way = [80, 84, 88, 110, 132, 136]
    frames = [
        replace(picture((x, 100), seq=seq), captured_s=at_s)
        for seq, (x, at_s) in enumerate(zip(way, moments, strict=True))
    ]
    found, looked = follow(lane, frames)
    assert looked == [True, False, False, True, True, False]
    assert [places(poses) for poses in found] == [[(round(x / 5) * 5, 100)] for x in way]
    assert isinstance(lane.lane.engine, Pair)
    (known,) = lane.lane.engine.expected(replace(frames[-1], captured_s=moments[-1] + 0.5 * EXPECTED_S))
    assert known[0] < way[-1] < known[0] + known[2]
    assert not len(lane.lane.engine.expected(replace(frames[-1], captured_s=moments[-1] + 1.5 * EXPECTED_S)))


@pytest.mark.parametrize(
    ("device", "detector", "runs"),
    [("CPU", "SIMCPU", "SIMCPU"), ("SIMCPU", "CPU", "CPU"), ("CPU", "BATCH:SIMCPU(2)", "SIMCPU")],
)
def test_the_stages_run_on_different_devices(store: Store, device: str, detector: str, runs: str) -> None:
    """Each on its own, told as both; who is found is the same."""
    checked = built(store, device=device, detector=detector)
    with checked.lane.engine as engine:
        assert isinstance(engine, Pair)
        assert (engine.detector.spec.device, engine.pose.spec.device) == (runs, device)
        assert (engine.spec.device, engine.spec.detector) == (device, detector)
        assert engine.facts.execution_devices == (runs, device)
        assert places(infer(engine, checked.lane.decoder, picture((80, 100), (240, 160)))) == [(80, 100), (240, 160)]


def test_one_stage_has_no_detector_to_place(tmp_path: Path) -> None:
    """That is said, and nothing is built."""
    store, cards = Store(tmp_path), list[NetworkCard]()
    card = catalogue.network("movenet-multipose")

    def make(each: NetworkCard, _spec: EngineSpec) -> Engine:
        cards.append(each)
        raise AssertionError

    spec = EngineSpec(card.name, "CPU", "FP32", 64, 64, detector="SIMCPU")
    with pytest.raises(ConfigError, match="one stage, and no detector that could run on SIMCPU"):
        build(store, card, spec, Stages(20), make)
    assert not cards


def test_who_is_lost_is_looked_for_until_the_detector_has_looked(lane: CheckedLane) -> None:
    """Who is hidden in a frame is found where they were; once the detector sees nobody there, nobody is expected."""
    there = [True, False, True, False, False, True, True, True, True]
    frames = [picture(*[(80, 100)][: int(seen)], seq=seq) for seq, seen in enumerate(there)]
    found, looked = follow(lane, frames)
    assert [seq for seq, by_detector in enumerate(looked) if by_detector] == [0, 4, 8]
    assert [len(poses) for poses in found] == [1, 0, 1, 0, 0, 0, 0, 0, 1]


def test_a_frame_alone_knows_nobody(lane: CheckedLane) -> None:
    """A frame that follows no other is looked at by the detector, and leaves nothing behind for those that do."""
    follow(lane, [picture((80, 100), seq=0)])
    assert places(infer(lane.lane.engine, lane.lane.decoder, picture((240, 160)))) == [(240, 160)]
    found, looked = follow(lane, [picture((80, 100), seq=1)])
    assert looked == [False]
    assert places(found[0]) == [(80, 100)]


def test_work_is_bounded_by_the_foremost(store: Store) -> None:
    """Of more people than persons_max the most central are looked at, where they are equally large."""
    checked = built(store, most=2)
    poses = infer(checked.lane.engine, checked.lane.decoder, picture((40, 128), (140, 128), (190, 60), (288, 40)))
    assert places(poses) == [(140, 125), (190, 60)]
    checked.lane.engine.close()


def test_region_of_interest(lane: CheckedLane) -> None:
    """Only the region is looked at, and people in it are told in pixels of the whole frame."""
    frame = replace(picture((80, 100), (240, 160)), region=Region(160, 64, 160, 160))
    assert places(infer(lane.lane.engine, lane.lane.decoder, frame)) == [(240, 160)]


@pytest.mark.parametrize(
    "device", ["SIMCPU", "AUTO:SIMCPU,CPU", "MULTI:SIMCPU,CPU", "HETERO:SIMCPU,CPU", "BATCH:CPU(2)"]
)
def test_every_device_string(store: Store, device: str) -> None:
    """Both stages run on whatever the string says, and what is told names all the devices."""
    checked = built(store, device)
    engine = checked.lane.engine
    assert engine.spec.device == device
    assert places(infer(engine, checked.lane.decoder, picture((80, 100), (160, 60), (240, 160)))) == [
        (80, 100),
        (160, 60),
        (240, 160),
    ]
    assert isinstance(engine, Pair)
    told = set(engine.facts.execution_devices)
    assert told == {*engine.pose.facts.execution_devices, *engine.detector.facts.execution_devices}
    engine.close()


def test_half_precision_is_of_both_stages(store: Store) -> None:
    """FP16 asks both stages for FP16, and is judged against FP32 as every network is."""
    checked = built(store, precision="FP16")
    engine = checked.lane.engine
    assert isinstance(engine, Pair)
    assert (engine.spec.precision, engine.pose.spec.precision, engine.detector.spec.precision) == ("FP16",) * 3
    engine.close()


def test_failed_inference_costs_its_frame_alone(lane: CheckedLane, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pose that fails is an error of the frame; every request is back afterwards and the next frame is computed."""
    engine = lane.lane.engine
    assert isinstance(engine, Pair)
    wait, failing = Slot.wait, [True]

    def fails(slot: Slot) -> None:
        wait(slot)
        if slot.input.shape[:2] == stages.POSE_SIZE and failing:
            failing.pop()
            raise EngineError("inference failed: on purpose")

    monkeypatch.setattr(Slot, "wait", fails)
    frames = [picture((80, 100), (240, 160), seq=seq) for seq in range(2)]
    with pytest.raises(EngineError, match="on purpose"):
        infer(engine, lane.lane.decoder, frames[0])
    for _ in range(3):
        assert len(infer(engine, lane.lane.decoder, frames[1])) == 2
    for stage in (engine.detector, engine.pose):
        assert len([taken(stage) for _ in range(stage.facts.infer_requests)]) == stage.facts.infer_requests


def taken(engine: Engine) -> Slot:
    slot = engine.acquire(0.1)
    assert slot is not None, "a request was lost"
    return slot


class Pictures:
    """A source of so many frames with one person, each there as soon as it is asked for."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._seq = -1

    def read(self, timeout_s: float) -> Frame | None:
        self._seq += 1
        if self._seq == self._count:
            raise EndOfSource
        return picture((80 + self._seq % 3, 100), seq=self._seq)

    def counts(self) -> CaptureCounts:
        return CaptureCounts(self._seq + 1, 0)

    def close(self) -> None:
        pass


def test_switches_lose_no_frame(store: Store) -> None:
    """Between two lanes of two stages, back and forth under way: every frame is told, in order, with its person."""
    lanes = [built(store, every=every).lane for every in (3, 1)]
    results: list[Result] = []
    ended = threading.Event()

    def publish(result: Result) -> None:
        results.append(result)
        if len(results) % 5 == 0:
            following = lanes[len(results) // 5 % 2]
            following.engine.generation = 1 + len(results) // 5
            pipeline.replace(following)

    failures: list[BaseException | None] = []

    def on_end(error: BaseException | None) -> None:
        failures.append(error)
        ended.set()

    pipeline = Pipeline(Pictures(60), lanes[0], publish=publish, timed=lambda _timing: None, on_end=on_end)
    pipeline.start()
    assert ended.wait(120)
    pipeline.stop()
    assert failures == [None]
    assert [result.frame.seq for result in results] == list(range(60))
    assert {len(result.poses) for result in results} == {1}
    assert len({result.engine for result in results}) > 5
    for lane in lanes:
        lane.engine.close()


Box = tuple[float, float, float, float]


class Scripted:
    """A pair whose pose network finds somebody in each box, all of their joints unless told otherwise."""

    def __init__(self, lane: CheckedLane, patch: pytest.MonkeyPatch) -> None:
        assert isinstance(lane.lane.engine, Pair)
        self._pair = lane.lane.engine
        self.seen: dict[Box, int] = {}
        """How many joints of who is in a box."""
        self.looked: list[Box] = []
        patch.setattr(self._pair, "look", self._look)

    def _look(self, _frame: Frame, boxes: Floats) -> Floats:
        self.looked = [(x, y, width, height) for x, y, width, height in boxes.tolist()]
        joints = np.zeros((len(boxes), stages.JOINTS, 3), np.float32)
        for person, box in zip(joints, self.looked, strict=True):
            x, y, width, height = box
            person[:, 0] = np.linspace(x, x + width, stages.JOINTS)
            person[:, 1] = np.linspace(y, y + height, stages.JOINTS)
            # The first and the last joint of the body are as far apart as they can be, however few are seen.
            person[[0, 25, *range(1, 25)][: self.seen.get(box, stages.JOINTS)], 2] = 0.8
        return joints

    def frame(self, *found: tuple[Box, float], alone: bool = False) -> int:
        """How many people a frame has, of which the detector found these boxes with these scores."""
        boxes = np.array([box for box, _score in found], np.float32).reshape(-1, 4)
        scores = np.array([score for _box, score in found], np.float32)
        return len(self._pair.follow(picture(), Detections(boxes, scores), alone=alone))


HERE, THERE = (40.0, 40.0, 30.0, 80.0), (200.0, 40.0, 30.0, 80.0)


def test_the_unlikely_are_looked_at_only_where_somebody_is_expected(
    lane: CheckedLane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was in full view stays, however little the detector thinks of them now; nobody begins with so little."""
    pair = Scripted(lane, monkeypatch)
    assert pair.frame((HERE, 0.9), (THERE, 0.1)) == 1
    assert pair.looked == [HERE]
    moved = (44.0, 42.0, 30.0, 80.0)
    assert pair.frame((moved, 0.1), (THERE, 0.1)) == 1
    assert pair.looked == [moved]
    assert pair.frame((THERE, 0.9)) == 2
    assert pair.frame((THERE, 0.1), alone=True) == 1


def test_a_newcomer_of_few_joints_is_told_when_found_again(lane: CheckedLane, monkeypatch: pytest.MonkeyPatch) -> None:
    """An arm beside a post that is there for a frame is nobody; who stays is told, and who stands alone is at once."""
    pair = Scripted(lane, monkeypatch)
    pair.seen = {THERE: 4}
    assert pair.frame((HERE, 0.9), (THERE, 0.9)) == 1
    assert pair.frame((HERE, 0.9), (THERE, 0.9)) == 2
    assert pair.frame((THERE, 0.9), alone=True) == 1
