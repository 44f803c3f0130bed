"""The job `quantize` in a real agent: whatever becomes of it, no picture of anybody and no process stays behind."""

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from agent.wire.commands import ErrorCode, JobStatus, ReplyStatus
from agent.wire.messages import Status
from tests.broker import Broker
from tests.system.study_faults import STOPPED_S, Rig

RECORDING = "recording frames"
READING = "reading frames"
"""The first that the quantiser tells."""
PRIORITY = 1
"""As `nice` counts."""


@pytest.fixture
def rig(broker: Broker, tmp_path: Path, ten_frames: Path) -> Iterator[Rig]:
    """An agent that sees people in every picture, and takes each for a scene of its own.

    Its quantiser gives way to others too, but not to all the tests that run beside it.
    """
    feed = {
        "EDGEPOSE_CAMERA__SOURCE": str(ten_frames),
        "EDGEPOSE_CAMERA__FOLDER_FPS": "10",
        "EDGEPOSE_MODEL__INPUT__LONG_SIDE": "256",
    }
    changed = f"agent.control.quantizing.EVERY_S, agent.control.beside.LOWEST = 0.0, {PRIORITY}"
    with Rig(tmp_path, broker, also=changed, **feed) as running:
        yield running


def pictures(rig: Rig) -> Path:
    return rig.state_folder / "demo-calibration"


def begin(rig: Rig, frames: int = 60) -> str:
    """Begin one that will not be done before it is ended; its id."""
    return rig.begin("quantize", frames=frames, seconds=60)


def until(rig: Rig, step: str) -> psutil.Process | None:
    """Wait for a step of the job; the quantiser, where there is one."""
    rig.wait(lambda job: job.id == rig.job and job.step.startswith(step))
    assert pictures(rig).stat().st_mode & 0o777 == 0o700
    assert rig.process is not None
    children = psutil.Process(rig.process.popen.pid).children()
    assert [child.nice() for child in children] == [PRIORITY] * len(children)
    return children[0] if children else None


def test_cancelled(rig: Rig) -> None:
    """A cancel ends the recording or the quantiser; frames flow as if nothing had been asked."""
    for step in (RECORDING, READING):
        job = begin(rig, frames=2000 if step == RECORDING else 60)
        quantiser = until(rig, step)
        assert (quantiser is None) == (step == RECORDING)
        assert rig.heard.ask("cancel", id=job).status is ReplyStatus.SUCCEEDED
        ended = rig.ended(job)
        assert (ended.status, ended.error and ended.error.code) == (JobStatus.CANCELLED, ErrorCode.CANCELLED)
        assert not pictures(rig).exists()
        assert quantiser is None or not quantiser.is_running()
        rig.state(Status.RUNNING)
        rig.flows()


def test_nobody_in_view(broker: Broker, tmp_path: Path) -> None:
    """Too few frames with people in the time allowed: it fails, and says what to do."""
    with Rig(tmp_path, broker) as rig:
        ended = rig.ended(rig.begin("quantize", frames=60, seconds=0.5))
        assert ended.status is JobStatus.FAILED
        assert ended.error is not None
        assert "at least 60 are needed" in ended.error.message
        assert "people are in view" in ended.error.hint
        assert not pictures(rig).exists()


def test_the_agent_ends_meanwhile(rig: Rig) -> None:
    """A stop cancels it and leaves nothing; after a kill the next start tells that it failed and leaves nothing."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        job = begin(rig)
        quantiser = until(rig, READING)
        assert quantiser is not None
        code = rig.end(number, STOPPED_S)
        assert code == (0 if number is signal.SIGTERM else -number)
        assert not psutil.wait_procs([quantiser], timeout=20)[1], "the quantiser goes on without its agent"
        if number is signal.SIGTERM:
            assert not pictures(rig).exists()
        rig.start()
        assert not pictures(rig).exists()
        ended = rig.ended(job)
        assert ended.status is (JobStatus.CANCELLED if number is signal.SIGTERM else JobStatus.FAILED)
        assert ended.error is not None
        assert ended.error.hint
