"""Networks of the user's own: from a card and its files to poses."""

import json
import shutil
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openvino as ov
import pytest
from click.testing import CliRunner

from agent.capture.frame import Frame
from agent.config.tree import Config, Inference, InputSize, Model
from agent.control.settings import Settings
from agent.control.workshop import CheckedLane, Workshop
from agent.errors import AccuracyError, EdgeposeError, ModelError
from agent.inference.devices import open_core
from agent.pipeline import infer
from agent.poses.decoders import roles_of
from models.cli import cli
from models.getting import convert
from models.getting.own import add
from models.judging.run import Runner
from models.shelf import golden
from models.shelf.catalogue import Precision
from models.shelf.store import Store
from tests.models.own_networks import (
    SCORES,
    SIZE,
    people,
    write_apart,
    write_broken,
    write_chosen,
    write_flat,
    write_half,
    write_rtmo,
    write_whole,
    write_yolo,
)

EXAMPLES = {"my-yolo": ("yolo11n-pose.xml", write_yolo), "my-rtmo": ("end2end.onnx", write_rtmo)}
RED, BLUE = 2, 0
"""Channel of an OpenCV picture."""


def example(name: str, folder: Path, *, changes: dict[str, str] | None = None) -> Path:
    """Write one of the shipped example cards, edited as a user would."""
    text = (files("models") / "cards" / "examples" / f"{name}.toml").read_text(encoding="utf-8")
    for old, new in ({"end2end.onnx": "end2end.xml"} | (changes or {})).items():
        assert old in text or old == "end2end.onnx"
        text = text.replace(old, new)
    card = folder / f"{name}.toml"
    card.write_text(text, encoding="utf-8")
    return card


def install(name: str, folder: Path) -> Store:
    """Install an example card with its stand-in network."""
    _, write = EXAMPLES[name]
    write(folder / "export" / ("yolo11n-pose.xml" if name == "my-yolo" else "end2end.xml"))
    store = Store(folder / "store")
    add(example(name, folder), folder / "export", store, roles_of)
    return store


def picture(channel: int, brightness: int, side: int = 2 * SIZE) -> Frame:
    """Make a square picture, twice as large as the input, of one colour."""
    image = np.zeros((side, side, 3), np.uint8)
    image[..., channel] = brightness
    return Frame(image, 0, datetime.now(UTC), 0.0, 0.0)


@pytest.mark.parametrize(("name", "channel"), [("my-yolo", RED), ("my-rtmo", BLUE)])
@pytest.mark.parametrize(("precision", "atol"), [("FP32", 1e-3), ("FP16", 0.01)])
def test_from_card_to_poses(name: str, channel: int, precision: Precision, atol: float, tmp_path: Path) -> None:
    """A documented card and an export become poses: colours in the network's order, values in its range."""
    store = install(name, tmp_path)
    size = InputSize()
    with Runner(name, store, precision=precision, device="CPU", size=size, score_min=0.2) as runner:
        poses = runner.poses(picture(channel, 204))
        np.testing.assert_allclose(poses.scores, SCORES * 204 / 255, atol=atol)
        # The picture is twice as large as the input; RTMO counts from a pixel's centre, half a pixel in, YOLO does not.
        centre = 0.5 * (name == "my-rtmo")
        np.testing.assert_allclose(
            poses.keypoints[..., :2], people()[..., :2] * 2 + centre, atol=0.2 if atol < 0.01 else 6
        )
        assert len(runner.poses(picture(channel, 70))) == 2  # the third is at 0.19
        assert len(runner.poses(picture(RED + BLUE - channel, 255))) == 0
        assert len(runner.poses(picture(channel, 255))) == 3


def test_a_wide_picture_lies_where_the_network_expects_it(tmp_path: Path) -> None:
    """In the middle of a YOLO's input, as Ultralytics' predict puts it; in the corner of an RTMO's."""
    wide = np.full((SIZE, 2 * SIZE, 3), 204, np.uint8)
    frame = Frame(wide, 0, datetime.now(UTC), 0.0, 0.0)
    lowest = {}
    for name in EXAMPLES:
        store = install(name, tmp_path / name)
        with Runner(name, store, precision="FP32", device="CPU", size=InputSize(), score_min=0.2) as runner:
            lowest[name] = runner.poses(frame).keypoints[..., 1].max(axis=1)
    joints = people()[..., 1].max(axis=1)
    np.testing.assert_allclose(lowest["my-yolo"], ((joints - SIZE / 4) * 2).clip(0, SIZE - 1), atol=0.2)
    np.testing.assert_allclose(lowest["my-rtmo"], (joints * 2 + 0.5).clip(0, SIZE - 1), atol=0.2)


def test_golden_outputs_are_what_the_engine_gives(tmp_path: Path) -> None:
    """What is recorded at installation is computed with the card's scale and colours, as the engine does."""
    store = install("my-yolo", tmp_path)
    card = store.card("my-yolo")
    frame = Frame(golden.golden_input(card), 0, datetime.now(UTC), 0.0, 0.0)
    size = InputSize()
    with Runner("my-yolo", store, precision="FP32", device="CPU", size=size, score_min=0.2) as runner:
        slot = runner.engine(frame).acquire(30)
        assert slot is not None
        slot.take(frame)
        slot.start()
        slot.wait()
        recorded = golden.load(store.golden("my-yolo"))
        assert golden.deviation({"guesses": slot.outputs[0]}, recorded) < 1e-4
        runner.engine(frame).release(slot)


def test_user_meets_it_everywhere(tmp_path: Path) -> None:
    """Once added, list, inspect and evaluate know it, and its accuracy on pictures of its people is perfect."""
    write_yolo(tmp_path / "export" / "yolo11n-pose.xml")
    card = example("my-yolo", tmp_path)
    folder = ("--models-dir", str(tmp_path / "store"))

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(cli, [*arguments, *folder], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    assert "my-yolo: FP32 FP16 ready" in run("add", str(card), "--from", str(tmp_path / "export"))
    rows = {row["name"]: row for row in json.loads(run("list", "--json"))}
    assert rows["my-yolo"]["precisions"] == ["FP32", "FP16"]
    assert rows["my-yolo"]["licence"] == "AGPL-3.0 or Ultralytics Enterprise"
    assert "guesses" in run("inspect", "my-yolo")
    found = json.loads(run("evaluate", "my-yolo", *annotated(tmp_path), "--json"))
    assert [(row["precision"], row["input"], round(row["ap"], 3)) for row in found] == [
        ("FP32", "640x640", 1.0),
        ("FP16", "640x640", 1.0),
    ]
    assert found[0]["inference_precision"] == "F32"


def annotated(folder: Path) -> tuple[str, ...]:
    """Write one picture and COCO annotations of the people the stand-in finds on it."""
    joints = people() * (2, 2, 0) + (0.5, 0.5, 2)
    boxes = [(*person.min(axis=0)[:2], *np.ptp(person, axis=0)[:2]) for person in joints]
    annotations = [
        {
            "id": n + 1, "image_id": 7, "category_id": 1, "iscrowd": 0, "num_keypoints": 17,
            "bbox": list(map(float, box)), "area": float(box[2] * box[3]), "keypoints": person.ravel().tolist(),
        }
        for n, (person, box) in enumerate(zip(joints, boxes, strict=True))
    ]  # fmt: skip
    (folder / "pictures").mkdir()
    cv2.imwrite(str(folder / "pictures" / "red.png"), picture(RED, 255).image)
    document: dict[str, Any] = {
        "info": {}, "images": [{"id": 7, "file_name": "red.png", "width": 2 * SIZE, "height": 2 * SIZE}],
        "annotations": annotations, "categories": [{"id": 1, "name": "person"}],
    }  # fmt: skip
    (folder / "people.json").write_text(json.dumps(document))
    return "--images", str(folder / "pictures"), "--annotations", str(folder / "people.json")


def test_other_sizes_where_the_export_takes_them(tmp_path: Path) -> None:
    """A dynamic export is resizable and runs at the camera's aspect; a fixed one that claims to be is refused."""
    flexible = example("my-yolo", tmp_path, changes={"resizable = false": "resizable = true"})
    write_yolo(tmp_path / "yolo11n-pose.xml", size=None)
    store = Store(tmp_path / "store")
    add(flexible, tmp_path, store, roles_of)
    size = InputSize(long_side=320)
    with Runner("my-yolo", store, precision="FP32", device="CPU", size=size, score_min=0.2) as runner:
        engine = runner.engine(Frame(np.zeros((240, 640, 3), np.uint8), 0, datetime.now(UTC), 0.0, 0.0))
        assert (engine.spec.height, engine.spec.width) == (128, 320)
    write_yolo(tmp_path / "yolo11n-pose.xml")
    with pytest.raises(ModelError, match="resizable = true says it takes other sizes too"):
        add(flexible, tmp_path, store, roles_of)


def test_adding_again_replaces(tmp_path: Path) -> None:
    """New weights under the same name take the place of the old ones."""
    store = install("my-yolo", tmp_path)
    before = store.manifest("my-yolo").sources
    write_yolo(tmp_path / "export" / "yolo11n-pose.xml", half=True)
    add(example("my-yolo", tmp_path), tmp_path / "export", store, roles_of)
    assert store.manifest("my-yolo").sources != before
    store.verify("my-yolo")


def spoil(xml: Path) -> None:
    """Put something else in the file's place."""
    xml.write_text("no network")


FAULTS: list[tuple[dict[str, str], Callable[[Path], None], str]] = [
    ({}, lambda xml: None, "there is no .*yolo11n-pose.xml, which my-yolo.toml names"),
    ({}, spoil, "OpenVINO cannot read yolo11n-pose.xml"),
    ({}, lambda xml: write_yolo(xml, rows=40), "guesses has 40 channels, the card says 56"),
    ({}, lambda xml: write_yolo(xml, size=320), r"takes \[1,3,320,320\], not \[1, 3, 640, 640\]: the card says"),
    ({'"NCHW"': '"NHWC"'}, write_yolo, r"not \[1, 640, 640, 3\]"),
    ({'name = "my-yolo"': 'name = "movenet-multipose"'}, write_yolo, "the catalogue has a movenet-multipose already"),
    ({'family = "yolo"': 'family = "rtmo"'}, write_yolo, "heads of the family rtmo are dets, keypoints"),
    ({'kind = "own"': 'kind = "ir"'}, write_yolo, "conversion.ir"),
    ({"scale = [255, 255, 255]": "scale = [255, 255, 0]"}, write_yolo, "input.scale.2"),
    ({'"yolo11n-pose.xml"': '"../yolo11n-pose.xml"'}, write_yolo, "conversion.own.network.FP32"),
    ({"channels = 56": "channels = 56, axis = 2"}, write_yolo, "reads guesses with channels = 56 on axis 1 or .*57"),
    ({"channels = 56": "channels = 57"}, lambda xml: write_yolo(xml, rows=57), "not 57 on axis 1"),
    ({"channels = 56": "channels = 58, axis = 2"}, write_chosen, "not 58 on axis 2"),
    ({"height = 640": "height = 633"}, write_yolo, "multiples of the stride 32"),
    ({"height = 640": "height = 64000"}, write_yolo, "height: should be at most 4096"),
    ({"scale = [255, 255, 255]": "scale = [inf, 255, 255]"}, write_yolo, "scale.0: should be a finite number"),
    ({"scale = [255, 255, 255]": "scale = [1e-320, 255, 255]"}, write_yolo, "scale.0: should be at least 1e-06"),
    ({}, write_whole, r"takes whole numbers \(u8\), of which input.mean and scale leave nothing"),
    ({}, write_broken, "guesses is not finite for the golden picture"),
    ({}, write_flat, r"guesses is \[1\], the card has its channels on axis 1"),
]


@pytest.mark.parametrize(("changes", "write", "reason"), FAULTS, ids=[reason for *_, reason in FAULTS])
def test_what_does_not_fit_is_refused(
    changes: dict[str, str], write: Callable[[Path], None], reason: str, tmp_path: Path
) -> None:
    """A card or file that is wrong is told in one line, and nothing is installed."""
    store = Store(tmp_path / "store")
    write(tmp_path / "yolo11n-pose.xml")
    with pytest.raises(ModelError, match=reason) as caught:
        add(example("my-yolo", tmp_path, changes=changes), tmp_path, store, roles_of)
    assert "\n" not in str(caught.value)
    assert store.names() == store.own() == ()


def test_an_export_at_half_precision_runs(tmp_path: Path) -> None:
    """Its picture and guesses are float16: what runs gets and gives float32, whatever the exporter chose."""
    write_half(tmp_path / "yolo11n-pose.xml")
    store = Store(tmp_path / "store")
    add(example("my-yolo", tmp_path), tmp_path, store, roles_of)
    with Runner("my-yolo", store, precision="FP32", device="CPU", size=InputSize(), score_min=0.2) as runner:
        poses = runner.poses(picture(RED, 255))
    np.testing.assert_allclose(poses.scores, SCORES / 2, rtol=1e-2)
    np.testing.assert_allclose(poses.keypoints[..., :2], people()[..., :2] * 2, atol=2)


def test_a_disk_that_is_full_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO says no more than that it cannot write: the line is that of every full disk, and nothing is left."""

    def full(*_args: object, **_options: object) -> None:
        raise RuntimeError("basic_ios::clear: iostream error")

    write_yolo(tmp_path / "yolo11n-pose.xml")
    store = Store(tmp_path / "store")
    monkeypatch.setattr(ov, "save_model", full)
    with pytest.raises(ModelError, match=f"my-yolo cannot be written to {store.folder}"):
        add(example("my-yolo", tmp_path), tmp_path, store, roles_of)
    assert store.names() == store.own() == ()
    assert not any(path.is_file() for path in (store.folder / ".building").rglob("*"))


def test_names_lead_nowhere_else(tmp_path: Path) -> None:
    """A name is looked up among what is installed, never followed as a path; the nearest own network is offered."""
    store = install("my-yolo", tmp_path)
    with pytest.raises(EdgeposeError, match="no network called"):
        store.card(f"../{store.folder.name}/my-yolo")
    with pytest.raises(EdgeposeError) as caught:
        store.card("my-yol")
    assert "did you mean my-yolo?" in caught.value.hint


def test_catalogue_card_is_not_yours(tmp_path: Path) -> None:
    """A card that would be downloaded is not added."""
    card = tmp_path / "card.toml"
    card.write_bytes((files("models") / "cards" / "movenet-multipose.toml").read_bytes())
    with pytest.raises(ModelError, match="is not the card of a network of your own"):
        add(card, tmp_path, Store(tmp_path / "store"), roles_of)


def test_end_to_end_export(tmp_path: Path) -> None:
    """What has chosen its people itself is read as it is: everybody in their place, nobody from rows of nothing."""
    write_chosen(tmp_path / "export" / "yolo11n-pose.xml")
    card = example("my-yolo", tmp_path, changes={"channels = 56": "channels = 57, axis = 2"})
    store = Store(tmp_path / "store")
    add(card, tmp_path / "export", store, roles_of)
    with Runner("my-yolo", store, precision="FP32", device="CPU", size=InputSize(), score_min=0.2) as runner:
        poses = runner.poses(picture(RED, 255))
        assert len(runner.poses(picture(RED, 70))) == 2
    np.testing.assert_allclose(poses.scores, SCORES, rtol=1e-3)
    np.testing.assert_allclose(poses.keypoints[..., :2], people()[..., :2] * 2, atol=0.2)
    np.testing.assert_allclose(poses.boxes[:, :2], people()[..., :2].min(axis=1) * 2, atol=0.2)


def checked(store: Store, precision: Precision, *, named: bool = False) -> CheckedLane:
    """The engine of my-yolo, tried on one frame with three people."""
    config = Config(model=Model(name="my-yolo"), inference=Inference(cache=False, device="CPU", precision=precision))
    workshop = Workshop(config, open_core({}), store)
    return workshop.build(Settings.of(config), [picture(RED, 255)], threading.Event(), named=named)


@pytest.mark.parametrize("precision", ["FP16", "INT8"])
def test_a_network_of_one_precision_runs(tmp_path: Path, precision: Precision) -> None:
    """Without FP32 the best there is judges: the network starts, and finds the people."""
    write_yolo(tmp_path / "export" / "yolo11n-pose.xml", half=precision == "FP16")
    store = Store(tmp_path / "store")
    add(example("my-yolo", tmp_path, changes={"FP32 = ": f"{precision} = "}), tmp_path / "export", store, roles_of)
    assert store.precisions("my-yolo") == (precision,)
    lane = checked(store, precision).lane
    assert len(infer(lane.engine, lane.decoder, picture(RED, 255))) == 3
    lane.engine.close()


def test_int8_that_the_configuration_names_starts(tmp_path: Path) -> None:
    """One frame has too few people to judge by: that stops a command, and not what somebody has chosen at home."""
    write_yolo(tmp_path / "export" / "yolo11n-pose.xml")
    both = 'FP32 = "yolo11n-pose.xml"\nINT8 = "yolo11n-pose.xml"'
    store = Store(tmp_path / "store")
    card = example("my-yolo", tmp_path, changes={'FP32 = "yolo11n-pose.xml"': both})
    add(card, tmp_path / "export", store, roles_of)
    with pytest.raises(AccuracyError, match="too few to judge"):
        checked(store, "INT8")
    lane = checked(store, "INT8", named=True)
    assert lane.agreement is not None
    assert lane.agreement.people == 3
    lane.lane.engine.close()


def damaged(folder: Path, file: str) -> Store:
    """Two networks of the user's own, one of which cannot be read any more."""
    store = install("my-yolo", folder)
    write_rtmo(folder / "export" / "end2end.xml")
    add(example("my-rtmo", folder), folder / "export", store, roles_of)
    (store.folder / "my-yolo" / file).write_text("broken", encoding="utf-8")
    return store


@pytest.mark.parametrize("file", ["card.toml", "manifest.json"])
def test_a_damaged_network_is_listed_and_goes(file: str, tmp_path: Path) -> None:
    """It hides no other from `list`, is in the way of no other's removal, and can be removed itself."""
    store = damaged(tmp_path, file)
    folder = ("--models-dir", str(store.folder))

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(cli, [*arguments, *folder], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    rows = {row["name"]: row for row in json.loads(run("list", "--json"))}
    assert rows["my-rtmo"]["precisions"] == ["FP32", "FP16"]
    assert rows["my-rtmo"]["fault"] is None
    assert f"my-yolo/{file}" in rows["my-yolo"]["fault"]
    assert "damaged" in run("list")
    with pytest.raises(ModelError) as caught:
        store.precisions(store.card("my-yolo").name)
    assert "models fetch" not in caught.value.hint
    run("remove", "my-rtmo", "--yes")
    run("remove", "my-yolo", "--yes")
    assert store.names() == store.own() == ()
    assert not (store.folder / "my-yolo").exists()


@pytest.mark.parametrize("name", ["nothing", "../store/my-yolo", ".locks", ""])
def test_what_is_not_here_is_not_removed(name: str, tmp_path: Path) -> None:
    """Only an entry goes, by its own name, and nothing is made for another."""
    store = install("my-yolo", tmp_path)
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    with pytest.raises(ModelError, match="is not in"):
        store.remove(name)
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before


def test_a_folder_that_takes_no_lock_is_told(tmp_path: Path) -> None:
    """Where nothing can be written, a removal ends in a line and leaves what it was to take."""
    store = install("my-yolo", tmp_path)
    shutil.rmtree(store.folder / ".locks")
    (store.folder / ".locks").touch()
    with pytest.raises(ModelError, match="my-yolo cannot be removed: "):
        store.remove("my-yolo")
    assert store.names() == ("my-yolo",)


def test_weights_in_a_file_of_their_own(tmp_path: Path) -> None:
    """They are read with the network; where they are missing or cut off, the cure is told."""
    path = tmp_path / "apart.onnx"
    weights = write_apart(path, 2.5)
    found = [op.get_data() for op in convert.read(path).get_ops() if op.get_type_name() == "Constant"]
    np.testing.assert_array_equal(found, [[2.5]])
    weights.write_bytes(b"\0")
    with pytest.raises(ModelError, match=r"cannot read apart\.onnx") as cut:
        convert.read(path)
    weights.unlink()
    with pytest.raises(ModelError, match=r"cannot read apart\.onnx") as missing:
        convert.read(path)
    assert "into the same folder" in cut.value.hint
    assert "into the same folder" in missing.value.hint
