"""Comparing two networks, precisions or sizes on a clip."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from click.testing import CliRunner

from agent.errors import EdgeposeError, ModelError
from agent.poses.decoders import roles_of
from models.cli import cli
from models.getting.own import add
from models.judging.compare import Side, compare, frames_of, parse_side
from models.shelf.store import Store
from tests.models.own_networks import write_yolo
from tests.models.test_own import RED, example, picture

MOVENET = parse_side("movenet-multipose:384")


@pytest.mark.parametrize("clip", ["", "clip:", "a" * 5000], ids=["empty", "no name", "long"])
def test_what_is_no_clip_is_told(clip: str, tmp_path: Path) -> None:
    """Words that can be neither a file nor a name are refused in a line."""
    with pytest.raises(EdgeposeError) as caught:
        next(frames_of(clip, Store(tmp_path), None))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200 + len(str(tmp_path))


def test_a_network_agrees_with_itself(store: Store) -> None:
    """On the frames asked for and no more, nobody is missed or invented and everybody is alike."""
    found = compare(MOVENET, MOVENET, store, clip="vtest", frames=12)
    assert (found.frames, found.missed, found.invented) == (12, 0, 0)
    assert found.people_a == found.people_b == found.matched > 0
    assert found.mean_oks == pytest.approx(1)


def test_half_precision_is_close(store: Store) -> None:
    """A precision of the same network, named in any case, finds the same people almost in the same place."""
    half = parse_side("movenet-multipose@fp16:384")
    found = compare(MOVENET, half, store, clip="clip:vtest", frames=12)
    assert found.b == "movenet-multipose@FP16:384"
    assert found.missed <= 1
    assert found.mean_oks is not None
    assert found.mean_oks > 0.9


def test_missed_and_invented_people_are_told(store: Store, tmp_path: Path) -> None:
    """People whom one network alone sees are missed by the other; the other way round they are invented."""
    both = Store(tmp_path / "store")
    both.folder.mkdir()
    (both.folder / "movenet-multipose").symlink_to(store.network("movenet-multipose"))
    write_yolo(tmp_path / "yolo11n-pose.xml")
    add(example("my-yolo", tmp_path), tmp_path, both, roles_of)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(2):
        cv2.imwrite(str(pictures / f"{number}.png"), picture(RED, 250, side=200).image)

    arguments = ["my-yolo", "movenet-multipose:256", "--clip", str(pictures), "--models-dir", str(both.folder)]
    done = CliRunner().invoke(cli, ["compare", *arguments, "--json"], catch_exceptions=False)
    found = json.loads(done.stdout)
    assert done.stderr.startswith("comparing, frame 1\n"), "of how many is not known before the end"
    assert (found["frames"], found["people_a"], found["people_b"]) == (2, 6, 0)
    assert (found["matched"], found["mean_oks"], found["missed"], found["invented"]) == (0, None, 6, 0)
    reverse = compare(MOVENET, parse_side("my-yolo"), both, clip=str(pictures))
    assert (reverse.people_a, reverse.missed, reverse.invented) == (0, 0, 6)


def test_ctrl_c_ends_it(store: Store) -> None:
    """Amid the frames: exit code 130, nothing on standard output, no traceback."""
    command = [sys.executable, "-m", "models.cli", "compare", str(MOVENET), str(MOVENET), "--clip", "vtest", "--json"]
    with subprocess.Popen(
        [*command, "--models-dir", str(store.folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "comparing, frame 1\n"
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=60)
    assert (process.returncode, printed, "Traceback" in said) == (130, "", False)


def test_sides_are_read() -> None:
    """NAME[@PRECISION][:LONG_SIDE], and back to text."""
    assert parse_side("a-net") == Side("a-net", "FP32", None)
    assert parse_side("a-net@int8:384") == Side("a-net", "INT8", 384)
    assert str(parse_side("a-net:384")) == "a-net@FP32:384"


@pytest.mark.parametrize("text", ["", "A", "net@", "net@FP64", "net:", "net:16", "net:99999", "net:384@FP16", "n/t"])
def test_wrong_sides_are_refused(text: str) -> None:
    """Anything else is one line with an example."""
    with pytest.raises(ModelError, match=r"is not NAME\[@PRECISION\]\[:LONG_SIDE\]") as caught:
        parse_side(text)
    assert "movenet-multipose@FP16:384" in caught.value.hint


@pytest.mark.parametrize(
    ("side", "clip", "reason"),
    [("nobody", "vtest", "no network called"), ("movenet-multipose", "nowhere", "nowhere")],
)
def test_what_is_not_there_is_named(store: Store, side: str, clip: str, reason: str) -> None:
    """An unknown network and an unknown clip are errors a person can read."""
    with pytest.raises(EdgeposeError, match=reason):
        compare(parse_side(side), MOVENET, store, clip=clip)
