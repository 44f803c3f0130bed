"""Promises of the two formats."""

import contextlib
import io
import json
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO

from agent.wire.messages import Keypoints
from agent.wire.recording import Recording, RecordingError, read
from tests import samples
from tests.contract.strategies import messages as any_of
from tests.record.conftest import messages

FRAMES = st.lists(any_of(Keypoints), max_size=8)


def write(path: Path, payloads: list[bytes]) -> Recording:
    with Recording(path, replace=True) as recording:
        for payload in payloads:
            recording.add(payload)
    return recording


@given(FRAMES)
def test_lines_are_the_messages(tmp_path_factory: pytest.TempPathFactory, frames: list[Keypoints]) -> None:
    """A .jsonl recording holds the payloads byte for byte, one a line, and reads back as the same messages."""
    path = tmp_path_factory.mktemp("lines") / "a.jsonl"
    payloads = [frame.encode() for frame in frames]
    write(path, payloads)
    assert path.exists() == bool(frames)
    if frames:
        assert path.read_bytes() == b"".join(payload + b"\n" for payload in payloads)
        assert messages(path) == frames


def test_a_payload_of_several_lines_is_one_line(tmp_path: Path) -> None:
    """Whoever publishes indented JSON is recorded all the same; keys of a newer version stay."""
    newer = json.loads(samples.keypoints().encode()) | {"mood": "good\nso far"}
    write(tmp_path / "a.jsonl", [json.dumps(newer, indent=2).replace("\n", "\r\n").encode()])
    (line,) = (tmp_path / "a.jsonl").read_bytes().splitlines()
    assert json.loads(line) == newer


@given(FRAMES)
def test_coco_results(tmp_path_factory: pytest.TempPathFactory, frames: list[Keypoints]) -> None:
    """A .json recording has one entry per person: the frame's seq, the category of people, 51 numbers and a score."""
    path = tmp_path_factory.mktemp("coco") / "a.json"
    write(path, [frame.encode() for frame in frames])
    assert path.exists() == bool(frames)
    wanted = [
        {"image_id": frame.seq, "category_id": 1, "keypoints": list(person.keypoints), "score": person.score}
        for frame in frames
        for person in frame.persons
    ]
    assert not frames or json.loads(path.read_bytes()) == wanted
    assert list(path.parent.iterdir()) == ([path] if frames else [])


def test_pycocotools_loads_the_results(tmp_path: Path) -> None:
    """COCO's own reader takes the results of a recording against annotations of its frames."""
    path = tmp_path / "a.json"
    write(path, [samples.keypoints(seq=seq, persons=seq).encode() for seq in range(4)])
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": seq, "width": 768, "height": 576} for seq in range(4)],
            "categories": [{"id": 1, "name": "person"}],
            "annotations": [],
        }
        truth.createIndex()
        results = truth.loadRes(str(path))
    assert [len(results.getAnnIds(imgIds=[seq])) for seq in range(4)] == [0, 1, 2, 3]
    assert len(results.loadAnns(results.getAnnIds(imgIds=[1]))[0]["keypoints"]) == 51


def test_results_appear_when_they_are_complete(tmp_path: Path) -> None:
    """A .json recording takes its name at the end alone, whatever ends it; until then an old one stays."""
    path = tmp_path / "a.json"
    path.write_text("old")
    with contextlib.suppress(ZeroDivisionError), Recording(path, replace=True) as recording:
        recording.add(samples.keypoints().encode())
        assert path.read_text() == "old"
        raise ZeroDivisionError
    assert len(json.loads(path.read_text())) == 2


def test_a_line_is_on_disk_when_it_is_taken(tmp_path: Path) -> None:
    """A .jsonl recording is complete after every message, without being closed."""
    path = tmp_path / "a.jsonl"
    with Recording(path, replace=False) as recording:
        for seq in range(3):
            recording.add(samples.keypoints(seq=seq).encode())
            assert [message.seq for message in messages(path)] == list(range(seq + 1))


def test_gaps_and_restarts_are_counted() -> None:
    """Missing frames, the gaps they make, and a seq that starts over are told apart."""
    recording = Recording(Path("unused.json"), replace=False)
    for seq in (5, 6, 9, 10, 12, 0, 1, 1):
        recording.tally.add(samples.keypoints(seq=seq, persons=1))
    assert recording.tally.figures() == {"frames": 8, "persons": 8, "gaps": 2, "missing": 3, "restarts": 2}
    assert str(recording.tally) == "8 frames, 8 persons, 3 frames missing in 2 gaps, started over 2 times"


def test_a_cut_off_last_line(tmp_path: Path) -> None:
    """What a crash left of the last line is named with its number and skipped, wherever it was cut."""
    path = tmp_path / "a.jsonl"
    line = samples.keypoints().encode() + b"\n"
    for kept in (1, len(line) // 2, len(line) - 2):
        path.write_bytes(line * 2 + line[:kept])
        told: list[str] = []
        assert len(list(read(path, told.append))) == 2
        assert told == [f"{path}:3: the last line is cut off, skipped"]


@pytest.mark.parametrize(
    "fault", [b"\n", b"{}\n", b'{"schema": 1\n', b"\xff\xfe\n", samples.state().encode() + b"\n", b" " * (1 << 21)]
)
def test_a_faulty_line(tmp_path: Path, fault: bytes) -> None:
    """A line that is no keypoints message is an error that names file and line."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(samples.keypoints().encode() + b"\n" + fault + samples.keypoints().encode() + b"\n")
    with pytest.raises(RecordingError, match=r"a\.jsonl:2: no keypoints message: ."):
        list(read(path, lambda _: None))


@pytest.mark.parametrize("name", ["a.csv", "a", "a.JSON", "missing/a.json", "folder.json"])
def test_a_name_that_cannot_be(tmp_path: Path, name: str) -> None:
    """A wrong ending, a folder that is missing or one in place of the file are told before anything is recorded."""
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(RecordingError, match=name):
        Recording(tmp_path / name, replace=True)


def test_a_full_disk(tmp_path: Path) -> None:
    """A disk without room is an error that names the file, not a recording that silently ends."""
    full = tmp_path / "a.jsonl"
    full.symlink_to("/dev/full")
    recording = Recording(full, replace=True)
    with pytest.raises(RecordingError, match=r"a\.jsonl cannot be written: No space left"), recording:
        recording.add(samples.keypoints().encode())


def test_time_of_capture_survives(tmp_path: Path) -> None:
    """Spacing is kept to the millisecond, which is what a replay plays by."""
    first = samples.keypoints()
    later = first.model_copy(update={"captured_at": first.captured_at + timedelta(milliseconds=1)})
    write(tmp_path / "a.jsonl", [first.encode(), later.encode()])
    before, after = messages(tmp_path / "a.jsonl")
    assert after.captured_at - before.captured_at == timedelta(milliseconds=1)
