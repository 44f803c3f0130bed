"""How far a job is, as `jobs` answers it: what it told last, and not how it began."""

import json
import uuid
from datetime import UTC, datetime
from typing import Any
from unittest.mock import MagicMock

from agent.config.tree import Config
from agent.control import events
from agent.control.asking import Box
from agent.control.control import Around, Control
from agent.control.works import Progress
from agent.wire.commands import Address, CommandError, ErrorCode, Incoming, Job, JobStatus, Reply, ReplyStatus
from agent.wire.topics import Topics

TOPICS = Topics("gym-1")


class Told:
    """Keeps what would go to the broker."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.announced: dict[str, bytes] = {}

    def reply(self, _address: Address, payload: bytes) -> None:
        self.replies.append(Reply.decode(payload))

    def announce(self, topic: str, payload: bytes, _expiry_s: int | None = None) -> None:
        self.announced[topic] = payload


def ask(control: Control, name: str, **args: Any) -> None:
    """A command, as it comes off the broker."""
    body = {"id": str(uuid.uuid4()), "args": args}
    topic = TOPICS.reply("me")
    control.take(
        Incoming(
            topic=TOPICS.command(name),
            payload=json.dumps(body).encode(),
            retained=False,
            received_at=datetime.now(UTC),
            response_topic=topic,
            correlation=None,
            expiry_s=None,
        )
    )


def test_jobs_tells_how_far_the_job_is() -> None:
    """While it runs and after it was ended halfway, `jobs` and the job's own topic say the same."""
    config = Config.model_validate({"device_id": "gym-1"})
    told: Any = Told()
    control = Control(
        config,
        told,
        None,
        Around(note=lambda _: None, describe=dict, end=lambda _: None, look=lambda _: None),
    )
    control.know(Box("gym-1", ("CPU",), {"movenet-multipose": ("FP32",)}))
    running = MagicMock(previous=None)
    control.run(running, control.state.record, None)
    ask(control, "quantize")
    assert control.state.work is not None
    number = control.state.work.number
    control.progress(Progress(number, "measuring", 0.53))

    def listed() -> Job:
        told.replies.clear()
        ask(control, "jobs")
        (reply,) = told.replies
        assert reply.result is not None
        jobs: Any = reply.result["jobs"]
        (job,) = jobs
        return Job.decode(json.dumps(job).encode())

    topic = TOPICS.job(listed().id)
    assert (listed().step, listed().progress) == ("measuring", 0.53)
    assert Job.decode(told.announced[topic]).progress == 0.53
    error = CommandError(ErrorCode.CANCELLED, "cancelled")
    control.happened(events.Failed(number, ReplyStatus.CANCELLED, error))
    assert (listed().status, listed().progress) == (JobStatus.CANCELLED, 0.53)
    assert Job.decode(told.announced[topic]).progress == 0.53
