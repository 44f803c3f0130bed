"""Two stages as one network, with the real weights."""

import hashlib
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from agent.capture.frame import Frame
from agent.config.tree import InputSize
from agent.control.inventory import installed
from agent.errors import EngineError, ModelError
from agent.inference.pair import Pair
from agent.poses.agreement import POSSIBLE, Outcome, Tally, verdict
from agent.poses.decoders import roles_of
from models.getting import fetch as fetching
from models.getting.fetch import fetch, gather
from models.getting.own import add
from models.getting.progress import Reporter
from models.judging.evaluate import evaluate
from models.judging.quantize import Quantized, install, quantize, require_quantizable
from models.judging.run import Runner
from models.shelf import catalogue
from models.shelf.catalogue import File, NetworkCard
from models.shelf.store import Store
from tests.conftest import SHARED_DATA
from tests.inference import stages
from tests.inference.test_pair import picture
from tests.models.server import serving
from tests.models.test_packages import zipped

QUIET = Reporter(Console(quiet=True))
COCO = SHARED_DATA / "coco-mini"


@pytest.fixture(scope="module")
def rtmpose(store: Store) -> Store:
    """The real networks, in the cache of whoever runs the tests."""
    fetch(catalogue.card("rtmpose-s"), store, reporter=QUIET)
    return store


@pytest.mark.skipif(not COCO.is_dir(), reason=f"{COCO} is not there")
@pytest.mark.parametrize(
    ("precision", "true_boxes", "least"), [("FP32", False, 0.80), ("FP16", False, 0.79), ("FP32", True, 0.77)]
)
def test_accuracy(rtmpose: Store, precision: catalogue.Precision, true_boxes: bool, least: float) -> None:
    """What was promised of the pair on four pictures holds, with its own detector and with the annotated boxes."""
    found = evaluate(
        "rtmpose-s",
        rtmpose,
        precision=precision,
        device="CPU",
        size=InputSize(),
        images=COCO,
        annotations=COCO / "person_keypoints.json",
        true_boxes=true_boxes,
    )
    assert found.ap >= least


def test_true_boxes_are_for_two_stages(store: Store) -> None:
    """A network that finds people by itself takes no boxes, and says so."""
    with pytest.raises(ModelError, match="finds people by itself"):
        evaluate(
            "movenet-multipose",
            store,
            precision="FP32",
            device="CPU",
            size=InputSize(long_side=256),
            images=COCO,
            annotations=COCO / "person_keypoints.json",
            true_boxes=True,
        )


def test_a_detector_is_not_quantised_alone() -> None:
    """What a detector loses shows in the poses: it is quantised with the network that finds those."""
    with pytest.raises(ModelError, match="together with it"):
        require_quantizable(catalogue.network("yolox-tiny"))
    for name in ("rtmpose-s", "movenet-multipose"):
        require_quantizable(catalogue.network(name))


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Quantized]:
    """Two small stages, quantised on a folder of pictures by the command's own steps; nothing is installed."""
    store = Store(tmp_path_factory.mktemp("quantized") / "store")
    stages.install(tmp_path_factory.mktemp("exports"), store)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.judging.quantize.ROUNDS", 1)
        patch.setattr("models.judging.quantize.ROUND_S", 0.02)
        told: list[float] = []
        judge = partial(verdict, missed_max=0.03, oks_min=0.85)
        card = store.card(stages.POSE)
        made = quantize(card, store, crowd(36), InputSize(), judge, lambda _step, share: told.append(share))
    assert told == sorted(told)
    return store, made


def crowd(count: int) -> list[Frame]:
    """Two people in each picture, at other places each time."""
    return [
        replace(picture((60 + number % 5 * 10, 80 + number), (200 + number, 160)), seq=number)
        for number in range(count)
    ]


def test_both_stages_are_quantised(quantized: tuple[Store, Quantized]) -> None:
    """Each by itself, on what it sees, and judged together on frames held back: everybody is found."""
    _store, made = quantized
    assert made.detector is not None
    assert (made.detector.name, made.name) == (stages.DETECTOR, stages.POSE)
    for stage, size in ((made.detector, (256, 320)), (made, stages.POSE_SIZE)):
        found = stage.certificate
        assert (found.height, found.width) == size
        assert found.layers_quantized == found.layers == 1
        assert "FakeQuantize" in {op.get_type_name() for op in stage.model.get_ops()}
        assert found.agreement == made.certificate.agreement
        assert stage.verdict.outcome is Outcome.PASSED
    assert made.certificate.agreement.missed == 0
    assert made.certificate.agreement.people == 2 * made.certificate.agreement.frames >= 20


def test_int8_of_both_runs_as_one(quantized: tuple[Store, Quantized], tmp_path: Path) -> None:
    """Installed, both stages run in it, and find whom FP32 finds."""
    before, made = quantized
    shutil.copytree(before.folder, tmp_path / "mine")
    store = Store(tmp_path / "mine")
    install(made, store)
    for name in (stages.DETECTOR, stages.POSE):
        store.verify(name)
        assert "INT8" in store.precisions(name)
    tally = Tally()
    runner = partial(Runner, stages.POSE, store, device="CPU", size=InputSize(), score_min=POSSIBLE)
    with runner(precision="FP32") as reference, runner(precision="INT8") as tried:
        for frame in crowd(5):
            tally.add(reference.poses(frame), tried.poses(frame))
        engine = tried.engine(crowd(1)[0])
        assert isinstance(engine, Pair)
        assert [stage.spec.precision for stage in (engine.detector, engine.pose)] == ["INT8", "INT8"]
    found = tally.agreement()
    assert (found.people, found.missed, found.invented) == (10, 0, 0)


def test_a_detector_is_no_network_to_run(tmp_path: Path) -> None:
    """The first stage is installed and not offered; without it the second is not offered either."""
    store = Store(tmp_path / "store")
    stages.install(tmp_path, store)
    assert installed(store) == {stages.POSE: ("FP32", "FP16")}
    (store.folder / stages.DETECTOR / "manifest.json").unlink()
    assert installed(store) == {}


@pytest.mark.parametrize("device", ["", "NOPE", "CPU:1", "AUTO:NOPE,CPU"])
def test_an_unknown_device_is_told_before_anything_is_built(device: str, tmp_path: Path) -> None:
    """`--device` is held to the grammar and the box, of two stages as of one."""
    store = Store(tmp_path / "store")
    stages.install(tmp_path, store)
    with pytest.raises(EngineError, match="device"):
        Runner(stages.POSE, store, precision="FP32", device=device, size=InputSize(), score_min=0.1)


def test_own_pose_network_needs_a_detector(tmp_path: Path) -> None:
    """A card of one's own that names a network which finds joints, or none there is, is refused."""
    store = Store(tmp_path / "store")
    stages.install(tmp_path, store)
    card = tmp_path / f"{stages.POSE}.toml"
    text = card.read_text(encoding="utf-8")
    for name, why in (("movenet-multipose", "movenet-multipose is no detector"), ("nowhere", "no network called")):
        card.write_text(text.replace(f'detector = "{stages.DETECTOR}"', f'detector = "{name}"'), encoding="utf-8")
        with pytest.raises(ModelError, match=why):
            add(card, tmp_path, store, roles_of)


def test_both_stages_come_from_one_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetching the second brings the first, and what both lie in is downloaded once."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(fetching, "convert", lambda _card, _files, _built: {})
    contents = {"yolox-tiny": b"finds people", "rtmpose-s": b"finds joints"}
    with serving() as server:
        server.files["/both.zip"] = zipped(**{f"deep/{name}.onnx": content for name, content in contents.items()})
        cards = {name: served(name, content, server.url("/both.zip")) for name, content in contents.items()}
        monkeypatch.setattr(catalogue, "cards", lambda: cards)
        store = Store(tmp_path / "store")
        assert fetch(cards["rtmpose-s"], store, reporter=QUIET)
        assert store.names() == ("rtmpose-s", "yolox-tiny")
        assert [path for path, _range in server.requests] == ["/both.zip"]
        assert not fetch(cards["rtmpose-s"], store, reporter=QUIET)
        brought = gather(cards["rtmpose-s"], store, tmp_path / "usb", reporter=QUIET)
        assert {path.stem: path.read_bytes() for path in brought} == contents


def served(name: str, content: bytes, url: str) -> NetworkCard:
    """The card of a network whose file is in a zip at ``url``."""
    card = catalogue.network(name)
    file = File(name=f"{name}.onnx", sha256=hashlib.sha256(content).hexdigest(), sources=(f"{url}#deep/{name}.onnx",))
    return card.model_copy(update={"files": (file,), "packages": {}})
