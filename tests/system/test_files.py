"""Files that come to their end."""

import shutil
from pathlib import Path

import cv2
import pytest

from agent.wire.messages import Metrics, State, Status
from tests.broker import Broker, Listener
from tests.system.conftest import TOPICS
from tests.system.process import agent


@pytest.mark.parametrize("frames", [1, 10])
def test_a_file_is_processed_to_its_end(broker: Broker, tmp_path: Path, ten_frames: Path, frames: int) -> None:
    """Every frame of a lossless source is processed, counted and drawn; then the agent ends, with exit code 0."""
    folder, video = tmp_path / "frames", tmp_path / "annotated.mp4"
    folder.mkdir()
    for image in sorted(ten_frames.iterdir())[:frames]:
        shutil.copy(image, folder)
    variables = {
        "EDGEPOSE_CAMERA__SOURCE": str(folder),
        "EDGEPOSE_CAMERA__LOOP": "false",
        "EDGEPOSE_CAMERA__LOSSLESS": "true",
        "EDGEPOSE_CAMERA__PACE": "fast",
        "EDGEPOSE_OUTPUT__VIDEO_FILE": str(video),
    }
    with Listener(broker.port) as listener:
        with agent(broker.port, **variables) as process:
            assert process.end() == 0
        listener.wait_for(TOPICS.availability, b"offline")
        metrics = [Metrics.decode(payload) for payload in listener.payloads(TOPICS.metrics)]
        assert sum(window.frames_processed for window in metrics) == frames
        assert sum(window.frames_captured for window in metrics) == frames
        assert sum(window.frames_dropped for window in metrics) == 0
        last = State.decode(listener.payloads(TOPICS.state)[-1])
        assert (last.status, last.camera.status, last.last_error) == (Status.STOPPING, "ended", None)
        assert last.camera.last_frame_at is not None
        assert Status.RUNNING in {State.decode(payload).status for payload in listener.payloads(TOPICS.state)}
        assert listener.messages[-1].payload == b"offline"
    assert count(video) == frames


def count(video: Path) -> int:
    capture = cv2.VideoCapture(str(video))
    frames = 0
    while capture.grab():
        frames += 1
    capture.release()
    return frames
