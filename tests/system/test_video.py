"""An annotated video that cannot be written: it is beside the point for an agent, and the point of a recording."""

import subprocess
import sys
from pathlib import Path

import pytest

from agent.wire.messages import Event, Severity
from tests.broker import Broker
from tests.system.process import DEMO, environment
from tests.system.study_faults import TOPICS, Rig


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """A file on a disk that is full."""
    path = tmp_path / "poses.mp4"
    path.symlink_to("/dev/full")
    return path


def test_poses_go_on_without_it(broker: Broker, tmp_path: Path, full: Path) -> None:
    """It is told once, and the agent looks on."""
    with Rig(tmp_path, broker, EDGEPOSE_OUTPUT__VIDEO_FILE=str(full)) as rig:
        rig.told("video.failed")
        rig.flows()
        told = [Event.decode(payload) for payload in rig.heard.payloads(TOPICS.event)]
        (event,) = (event for event in told if event.code == "video.failed")
        assert event.severity is Severity.WARNING
        assert f"{full} cannot be written: No space left on device" in event.message


@pytest.mark.parametrize("frames", [2, 60])
def test_a_recording_ends_with_an_error(tmp_path: Path, full: Path, frames: int) -> None:
    """Be it that the first pictures are written only at the end."""
    command = [sys.executable, "-m", "agent", "record", "--config", str(DEMO), "--out", str(tmp_path / "poses.jsonl")]
    command += ["--video", str(full), "--force", "--frames", str(frames)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "cannot be written: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
