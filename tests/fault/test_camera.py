"""What the state tells of a camera."""

from datetime import timedelta
from pathlib import Path

import pytest

from agent.wire.messages import Keypoints, Status
from tests.capture.mjpeg import MjpegCamera, Mode
from tests.fault.rig import TOPICS, running, seen_by


@pytest.mark.usefixtures("store")
def test_the_state_says_when_the_last_frame_came(tmp_path: Path) -> None:
    """Once a silent camera is lost the state tells when the last frame came: not earlier, nor when that was noticed."""
    with MjpegCamera(0.1) as camera, running(tmp_path, **seen_by(camera)) as (_broker, ear, _process):
        camera.set(Mode.STALL)
        ear.after(0, lambda seen: seen.topic == TOPICS.state and b'"camera_lost"' in seen.payload)
        state = next(state for state in ear.states() if state.status is Status.CAMERA_LOST)
        last = Keypoints.decode([seen for seen in ear.heard if seen.topic == TOPICS.keypoints][-1].payload)
    assert state.camera.last_frame_at is not None
    assert state.camera.cause is not None
    assert "no frame" in state.camera.cause
    assert state.camera.since is not None
    assert state.camera.last_frame_at < state.camera.since <= state.sent_at
    silent = timedelta(seconds=1)  # half of what it takes to be noticed
    assert last.captured_at <= state.camera.last_frame_at <= state.sent_at - silent
