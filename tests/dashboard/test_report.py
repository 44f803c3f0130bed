"""What stands behind the link to a study's report."""

import pytest

from agent.wire.commands import Job, JobStatus
from controller.dashboard.server import _report
from tests import samples
from tests.controller import studies


def job(command: str, result: object) -> Job:
    return Job.model_validate(
        {
            "device_id": "gym-01",
            "sent_at": samples.NOW,
            "id": "j1",
            "command": command,
            "status": JobStatus.SUCCEEDED,
            "step": "done",
            "progress": 1.0,
            "started_at": samples.NOW,
            "result": result,
        }
    )


def test_a_study_is_shown_as_its_report() -> None:
    """The page that `controller report` writes, under its own title, with no script in it."""
    answer = _report(job("sweep", studies.study().model_dump(mode="json")))
    assert (answer.status_code, answer.media_type) == (200, "text/html")
    text = bytes(answer.body).decode()
    assert "What it found" in text
    assert "<script" not in text


OTHERS = [None, job("quantize", {"kept": True}), job("sweep", {"rows": "<b>"}), job("sweep", None)]


@pytest.mark.parametrize("found", OTHERS)
def test_what_is_no_study_is_not_there(found: Job | None) -> None:
    """Unknown jobs, other jobs and results that cannot be read are all answered alike."""
    assert _report(found).status_code == 404
