"""`agent record`: the same files without a broker, on the real network and clip; and where pictures never go."""

import json
import re
import signal
import subprocess
import sys
import types
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import cv2
import pytest
from pydantic import AwareDatetime, BaseModel, JsonValue

from agent.commands.record import said_now_and_then
from agent.output.recording import FileOutlet
from agent.stdout import SAY_S, Every
from agent.wire.commands import Reply
from agent.wire.messages import Message
from agent.wire.recording import Recording
from models.shelf.store import Store
from tests import samples
from tests.broker import Broker, Listener
from tests.controller.conftest import environment
from tests.nursery import NURSERY
from tests.record.conftest import messages

COMMAND = str(Path(sys.executable).with_name("agent"))
HARMLESS = {str, int, float, bool, datetime, AwareDatetime, JsonValue, type(None)}
FRAMES = 12


def agent(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the agent in ``folder`` on the clip, with nothing else to write into than what it is told."""
    (folder / "scratch").mkdir(exist_ok=True)
    settings = {
        "EDGEPOSE_CAMERA__SOURCE": "clip:vtest",
        "EDGEPOSE_INFERENCE__DEVICE": "CPU",
        "EDGEPOSE_INFERENCE__CACHE": "false",
        "TMPDIR": str(folder / "scratch"),
    }
    return NURSERY.run(["agent", *arguments], environment(**settings | variables), cwd=folder)


def test_a_long_recording_says_how_far_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line with the counts every ten seconds, not one for each frame."""
    now_s = 0.0
    with Recording(out := tmp_path / "a.jsonl", replace=False) as recording:
        outlet = FileOutlet(recording, said_now_and_then(recording, Every(clock=lambda: now_s)))
        for seq in range(9):
            now_s = seq * SAY_S / 4
            outlet.keypoints(samples.keypoints(seq=seq).encode())
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in said] == [f"{out}: 5 frames", f"{out}: 9 frames"]


@pytest.mark.usefixtures("store")
def test_every_frame_is_recorded_once(tmp_path: Path) -> None:
    """--frames takes the first frames of a file, none left out, whatever pace and loop say; the video has as many."""
    done = agent(
        tmp_path,
        "record",
        "--out",
        "a.jsonl",
        "--video",
        "a.avi",
        "--frames",
        str(FRAMES),
        EDGEPOSE_CAMERA__LOOP="true",
    )
    assert done.returncode == 0, done.stderr
    found = messages(tmp_path / "a.jsonl")
    assert [message.seq for message in found] == list(range(FRAMES))
    assert sum(len(message.persons) for message in found) > FRAMES
    video = cv2.VideoCapture(str(tmp_path / "a.avi"))
    written = sum(1 for _ in iter(lambda: video.read()[0], False))
    video.release()
    assert written == FRAMES
    assert f"a.jsonl: {FRAMES} frames, " in done.stderr.splitlines()[-1]
    assert {path.name for path in tmp_path.iterdir()} == {"a.jsonl", "a.avi", "scratch"}
    assert not list((tmp_path / "scratch").iterdir())


def test_a_folder_becomes_coco_results(tmp_path: Path, store: Store) -> None:
    """A folder of pictures ends by itself, also if it should loop; image_id is the number of the picture in it."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    clip = cv2.VideoCapture(str(store.clip("vtest")))
    for number in range(3):
        cv2.imwrite(str(pictures / f"{number}.png"), clip.read()[1])
    clip.release()
    done = agent(
        tmp_path, "record", "--out", "a.json", EDGEPOSE_CAMERA__SOURCE=str(pictures), EDGEPOSE_CAMERA__LOOP="true"
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "a.json").read_bytes())
    assert {entry["image_id"] for entry in results} == {0, 1, 2}
    assert {(entry["category_id"], len(entry["keypoints"])) for entry in results} == {(1, 51)}


def test_an_existing_file_stays(tmp_path: Path) -> None:
    """An existing file, and a name without a format, are exit 2 before anything is opened."""
    (tmp_path / "a.jsonl").write_text("precious")
    for name, said in (("a.jsonl", "--force"), ("a.csv", "expected a name ending in")):
        done = agent(tmp_path, "record", "--out", name)
        assert done.returncode == 2
        assert said in done.stderr
    assert (tmp_path / "a.jsonl").read_text() == "precious"


def test_a_source_that_fails_leaves_no_file(tmp_path: Path) -> None:
    """A file that is not there is exit 1, and no empty recording stands in the way of the next attempt."""
    done = agent(tmp_path, "record", "--out", "a.jsonl", EDGEPOSE_CAMERA__SOURCE="missing.mp4")
    assert done.returncode == 1
    assert "missing.mp4" in done.stderr
    assert not (tmp_path / "a.jsonl").exists()


@pytest.mark.usefixtures("store")
def test_a_full_disk_ends_it(tmp_path: Path) -> None:
    """When the recording cannot be written the agent ends with exit 1 and says so, without a traceback."""
    (tmp_path / "a.jsonl").symlink_to("/dev/full")
    done = agent(tmp_path, "record", "--out", "a.jsonl", "--force", "--frames", "3")
    assert done.returncode == 1
    assert "a.jsonl cannot be written: No space left" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("store")
def test_a_signal_leaves_a_complete_file(tmp_path: Path) -> None:
    """Ctrl-C in the middle of a clip: exit 0 and a COCO file that can be read."""
    command = [COMMAND, "record", "--out", "a.json"]
    variables = {"EDGEPOSE_CAMERA__SOURCE": "clip:vtest", "EDGEPOSE_INFERENCE__DEVICE": "CPU"}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(**variables), stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert any("engine.ready" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        _out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    if "nothing is written" not in errors:
        assert json.loads((tmp_path / "a.json").read_bytes()) is not None
    assert not (tmp_path / ".a.json.part").exists()


def leaves(kind: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    """Name and type of every value a message can hold, at any depth."""
    for name, field in kind.model_fields.items():
        yield from ((f"{kind.__name__}.{name}", leaf) for leaf in _plain(field.annotation))


def _plain(annotation: Any) -> Iterator[Any]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from (leaf for _, leaf in leaves(annotation))
    elif (
        get_origin(annotation) in {tuple, dict, types.UnionType}
        or annotation.__class__.__name__ == "_UnionGenericAlias"
    ):
        for inner in get_args(annotation):
            if inner is not Ellipsis:
                yield from _plain(inner)
    elif get_origin(annotation) is Literal:
        yield from {type(value) for value in get_args(annotation)}
    elif isinstance(annotation, type) and issubclass(annotation, StrEnum):
        yield str
    else:
        yield next(iter(get_args(annotation)), annotation)  # Annotated


def test_no_message_can_carry_a_picture() -> None:
    """No message but a reply has room for a picture; a reply has where the configuration allows snapshots."""
    kinds = [kind for kind in Message.__subclasses__() if kind is not Reply]
    assert len(kinds) >= 5
    found = [pair for kind in kinds for pair in leaves(kind)]
    assert [(name, leaf) for name, leaf in found if leaf not in HARMLESS] == []
    assert not {
        name for name, _ in found if re.search(r"image|picture|jpe?g|png|pixels|base64|data", name, re.IGNORECASE)
    }


@pytest.mark.usefixtures("store")
def test_a_video_is_not_replaced_unasked(tmp_path: Path) -> None:
    """--video names a file that is there: nothing is recorded, and the file stays, unless --force is given."""
    video = tmp_path / "a.avi"
    video.write_bytes(b"precious")
    done = agent(tmp_path, "record", "--out", "a.jsonl", "--video", "a.avi", "--frames", "2")
    assert done.returncode == 2
    assert "--force" in done.stderr
    assert video.read_bytes() == b"precious"
    assert not (tmp_path / "a.jsonl").exists()


def test_pictures_stay_in_memory_unless_a_video_is_configured(tmp_path: Path) -> None:
    """An agent without output.video_file writes no file, and publishes nothing that is not JSON or a status word."""
    work = tmp_path / "work"
    work.mkdir()
    with Broker(tmp_path) as broker, Listener(broker.port) as listener:
        done = agent(
            work,
            "run",
            EDGEPOSE_CAMERA__PACE="fast",
            EDGEPOSE_CAMERA__FPS_MAX="0.2",
            EDGEPOSE_DEVICE_ID="edge-1",
            EDGEPOSE_MQTT__HOST=broker.host,
            EDGEPOSE_MQTT__PORT=str(broker.port),
        )
        assert done.returncode == 0, done.stderr
        listener.wait_for("edgepose/edge-1/availability", b"offline")
        sent = [(message.topic, bytes(message.payload)) for message in listener.messages]
    assert any(topic.endswith("/keypoints") for topic, _ in sent)
    for topic, payload in sent:
        assert topic.endswith("/availability") or json.loads(payload)["schema"].startswith("edgepose.")
        assert len(payload) < 64 * 1024
    assert [path for path in work.rglob("*") if path.name != "scratch"] == []
    assert list((work / "scratch").iterdir()) == []
