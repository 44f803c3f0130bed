"""Promises about the frames that a quantisation records."""

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import JsonValue

from agent.config.tree import Config
from agent.control.beside import Beside, end_when
from agent.control.events import Work
from agent.control.quantizing import EVERY_S, Quantizing
from agent.control.samples import Samples
from agent.control.settings import Settings
from agent.errors import CancelledError, EdgeposeError
from agent.pipeline import Result
from agent.poses.skeleton import Poses
from agent.wire.commands import Address, Command, Quantize
from tests.footage import as_frame

SETTINGS = Settings(model="any", device="CPU", precision="FP32")
SOMEBODY = Poses(np.ones((1, 17, 3), np.float32), np.ones((1, 4), np.float32), np.ones(1, np.float32))


def work(seconds: float) -> Work:
    command = Command("quantize", "1", Quantize(frames=100, seconds=seconds), Address("reply", b"1"))
    return Work(1, command, SETTINGS, "job-1")


def quantizing(tmp_path: Path, samples: Samples) -> Quantizing:
    return Quantizing(Config.model_validate({"device_id": "box", "paths": {"state": tmp_path}}), samples)


def show(samples: Samples, seconds: float) -> None:
    """Eight frames a second once somebody records: people in the first half of each second."""
    while samples.recorder is None:
        pass
    recorder = samples.recorder
    for number in range(round(seconds * 8)):
        frame = replace(as_frame(np.zeros((48, 64, 3), np.uint8), number), media_s=number / 8)
        recorder(Result(frame, SOMEBODY if number % 8 < 4 else Poses.nobody(), 1, "any"))


def test_frames_with_people_some_time_apart_are_recorded(tmp_path: Path) -> None:
    """Neighbours and empty frames are left out; too few frames are told, and no picture stays."""
    samples = Samples()
    camera = threading.Thread(target=show, args=(samples, 10.0))
    camera.start()
    assert 1 / 8 < EVERY_S < 2 / 8  # so every other frame of the four with people
    with pytest.raises(EdgeposeError, match=r"^20 frames with people in 2 s, at least 60"):
        quantizing(tmp_path, samples).run(work(2.0), lambda _step, _share: None, threading.Event())
    camera.join()
    assert samples.recorder is None
    assert list(tmp_path.iterdir()) == []


def test_a_box_without_the_quantiser_says_so_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It records nothing, and names what is missing, what is expected and how to have it on this very box."""
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(EdgeposeError, match=r"^nncf is not installed here: nncf.* is needed") as told:
        quantizing(tmp_path, Samples()).run(work(60.0), lambda _step, _share: None, threading.Event())
    assert told.value.hint.startswith(f"{sys.executable} -m pip install 'nncf")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("model", "size"),
    [(None, ["--long-side", "512"]), ("movenet-multipose", ["--long-side", "512"]), ("yolox-tiny", None)],
)
def test_it_is_made_at_the_size_that_was_set(
    model: str | None, size: list[str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `set-input` in force is the size of the variant of the network that runs, and of no other."""
    asked: list[str] = []

    def run(_beside: Beside, words: list[str], *_rest: object, **_more: object) -> dict[str, JsonValue]:
        asked.extend(words)
        return {}

    monkeypatch.setattr(Beside, "run", run)
    monkeypatch.setattr(Quantizing, "_record", lambda *_: 60)
    running = SETTINGS.model_copy(update={"model": "movenet-multipose", "long_side": 512})
    command = Command("quantize", "1", Quantize(model=model), Address("reply", b"1"))
    job = quantizing(tmp_path, Samples())
    job.run(Work(1, command, running, "job-1"), lambda _step, _share: None, threading.Event())
    assert asked[4] == (model or "movenet-multipose")
    if size is not None:
        assert asked[asked.index("--long-side") :][:2] == size
    else:
        assert "512" not in asked


def test_recording_is_cancelled(tmp_path: Path) -> None:
    """Who takes it back does not wait for people to come into view, and no picture stays."""
    samples, cancelled = Samples(), threading.Event()
    cancelled.set()
    with pytest.raises(CancelledError):
        quantizing(tmp_path, samples).run(work(60.0), lambda _step, _share: None, cancelled)
    assert samples.recorder is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("program", "still_s"), [("input()", 0.3), ("while True: pass", 60.0)], ids=["hung", "at work"]
)
def test_a_quantiser_that_hangs_is_ended(program: str, still_s: float) -> None:
    """One that computes nothing is killed; one that computes goes on until somebody takes it back."""
    command = [sys.executable, "-c", program]
    cancelled, ended = threading.Event(), threading.Event()
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as process:
        watcher = threading.Thread(target=end_when, args=(process, cancelled, ended, still_s))
        watcher.start()
        if still_s > 1:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1)
            cancelled.set()
        assert process.wait(30) < 0
        watcher.join(30)
    assert not watcher.is_alive()
