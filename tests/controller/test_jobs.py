"""Jobs, followed by what their agent tells; a responder stands for it. And snapshots."""

import base64
import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.wire.commands import ErrorCode, Job, JobStatus, Reply, ReplyError, ReplyStatus
from agent.wire.topics import Topics
from controller.client.following import Followed
from controller.commands.access import open_session
from controller.commands.execute_job import print_end
from controller.commands.options import Given
from tests import samples
from tests.broker import Broker, Listener, publish
from tests.controller.conftest import COMMAND, controller, environment
from tests.controller.responder import Asked, Responder, job, publish_job, put_member, rejection, reply

ENDED = job(
    status=JobStatus.SUCCEEDED, step="done", progress=1.0, finished_at=samples.NOW, result={"missed": 3, "people": 127}
)
BROKEN = job(
    status=JobStatus.FAILED,
    error=ReplyError(code=ErrorCode.ACCURACY_FAILED, message="9 of 127 people missed", hint="record more people"),
)


def address(broker: Broker) -> list[str]:
    return ["--broker", f"127.0.0.1:{broker.port}"]


def starts(asked: Asked) -> list[Reply]:
    return [reply("gym-1", asked, ReplyStatus.ACCEPTED, result={"job": "quantize-1"})]


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start the controller; whoever leaves has seen it end, or it is killed."""
    command = [str(COMMAND), *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env=environment(), **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def test_quantize_is_followed_to_its_end(broker: Broker) -> None:
    """The command waits for its job and ends with it: what came of it, and 0 or, when it failed, 1."""

    def answers(asked: Asked) -> list[Reply]:
        for each in (job(), ENDED if asked.body["args"] else BROKEN):
            publish_job(broker.port, each)
        return starts(asked)

    with Responder(broker.port, "gym-1", answers) as box:
        done = controller("quantize", "gym-1", "--frames", "60", *address(broker))
        assert box.request().body["args"] == {"frames": 60}
        failed = controller("quantize", "gym-1", "--json", *address(broker))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0].strip() == "gym-1: quantize-1 succeeded"
    assert ["result.people", "127"] in [line.split() for line in done.stdout.splitlines()]
    found = json.loads(failed.stdout)
    assert (failed.returncode, found["status"], found["job"]["status"]) == (1, "accepted", "failed")


def test_quantize_without_waiting(broker: Broker) -> None:
    """--no-wait returns when the broker has it; a refusal is told like any other."""
    with Responder(broker.port, "gym-1", starts) as box:
        done = controller("quantize", "gym-1", "--no-wait", *address(broker))
        assert done.stdout == f"gym-1: quantize sent, id {box.request().id}\n"
    with Responder(broker.port, "gym-1", lambda asked: [rejection("gym-1", asked)]):
        refused = controller("quantize", "gym-1", *address(broker))
    assert (done.returncode, refused.returncode) == (0, 4)
    assert "rejected" in refused.stderr


def test_ctrl_c_leaves_the_job_running(broker: Broker) -> None:
    """Ctrl-C while a job is followed says that it goes on and how to look or end it: exit 130, nothing sent."""
    put_member(broker.port, "gym-1")
    publish_job(broker.port, job())
    with (
        Listener(broker.port, "edgepose/+/command/#") as listener,
        running("job", "gym-1", "quantize-1", "--follow", "--json", *address(broker)) as process,
    ):
        assert process.stdout is not None
        assert Job.decode(process.stdout.readline().encode()) == job()
        process.send_signal(signal.SIGINT)
        _out, errors = process.communicate(timeout=30)
        assert listener.messages == []
    assert process.returncode == 130
    assert "gym-1 goes on with quantize-1." in errors
    assert "controller cancel gym-1 quantize-1" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(("availability", "told"), [("online", "goes on"), ("offline", "gone offline; its job")])
def test_only_an_offline_box_is_called_offline(
    broker: Broker, availability: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A job that we stopped following goes on, on a box that is online; only its last will makes it offline."""
    put_member(broker.port, "gym-1", availability=availability.encode())
    publish_job(broker.port, job())
    given = Given({"broker": f"127.0.0.1:{broker.port}"})
    with open_session(given) as session:
        followed = Followed(session, {"gym-1": "quantize-1"})
        session.find("gym-1")
        followed.first()
        print_end(followed, "gym-1")
    errors = capsys.readouterr().err
    assert told in errors
    assert ("offline" in errors) is (availability == "offline")


def test_every_change_is_a_line(broker: Broker) -> None:
    """--follow --json prints each message of the job on a line until it has ended."""
    put_member(broker.port, "gym-1")
    publish_job(broker.port, job())
    with running("job", "gym-1", "quantize-1", "--follow", "--json", *address(broker)) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        publish(broker.port, Topics("gym-1").job("quantize-1"), b"nonsense")
        publish_job(broker.port, ENDED)
        rest, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert [Job.decode(line.encode()) for line in [first, *rest.splitlines()]] == [job(), ENDED]
    assert "not understood, skipped" in errors


def test_following_ends_with_the_device_or_the_broker(broker: Broker) -> None:
    """A device that goes offline ends it with 3 and where the job stood; a broker that dies with 5."""
    put_member(broker.port, "gym-1")
    publish_job(broker.port, job())
    follow = ["job", "gym-1", "quantize-1", "--follow", "--json", *address(broker)]
    with running(*follow) as process:
        assert process.stdout is not None
        process.stdout.readline()
        publish(broker.port, Topics("gym-1").availability, b"offline", retain=True)
        _out, errors = process.communicate(timeout=30)
    assert process.returncode == 3
    assert "gym-1 has gone offline; its job quantize-1 stood at 25%: recording 120 of 300 frames" in errors
    put_member(broker.port, "gym-1")
    with running(*follow) as process:
        assert process.stdout is not None
        process.stdout.readline()
        broker.kill()
        _out, errors = process.communicate(timeout=30)
    assert process.returncode == 5
    assert "the connection broke" in errors


def test_a_job_as_it_stands(broker: Broker) -> None:
    """Without --follow the job is shown as it stands, exit 0; an id nobody knows is exit 3."""
    put_member(broker.port, "gym-1")
    publish_job(broker.port, BROKEN)
    shown = controller("job", "gym-1", "quantize-1", *address(broker))
    as_json = controller("job", "gym-1", "quantize-1", "--json", *address(broker))
    ended = controller("job", "gym-1", "quantize-1", "--follow", *address(broker))
    unknown = controller("job", "gym-1", "quantize-2", "--timeout", "1", *address(broker))
    assert (shown.returncode, as_json.returncode, ended.returncode, unknown.returncode) == (0, 0, 1, 3)
    assert "gym-1: quantize-1 failed: accuracy_failed: 9 of 127 people missed" in shown.stderr
    assert Job.decode(as_json.stdout.encode()) == BROKEN
    assert "there is no job quantize-2 on gym-1" in unknown.stderr


def test_jobs_are_listed(broker: Broker) -> None:
    """One line per job, of each device that answers; what cannot be read is left out."""
    listed = [each.model_dump(mode="json", by_alias=True) for each in (job(), ENDED)]

    def answers(asked: Asked) -> list[Reply]:
        return [reply("gym-1", asked, result={"jobs": [*listed, {"id": "of another version"}]})]

    with Responder(broker.port, "gym-1", answers):
        shown = controller("jobs", "gym-1", *address(broker))
        as_json = controller("jobs", "gym-*", "--json", *address(broker))
    rows = [line.split() for line in shown.stdout.splitlines()[1:]]
    assert (shown.returncode, shown.stderr) == (0, "")
    assert [row[:4] for row in rows] == [
        ["gym-1", "quantize-1", "quantize", "running"],
        ["gym-1", "quantize-1", "quantize", "succeeded"],
    ]
    assert [next(word for word in row if word.endswith("%")) for row in rows] == ["25%", "100%"]
    assert len(json.loads(as_json.stdout)["devices"][0]["result"]["jobs"]) == 3


def test_a_snapshot_is_written(broker: Broker, tmp_path: Path) -> None:
    """The picture goes into the file, never over another unasked; a box that answers without one is exit 1."""
    out, picture = tmp_path / "hall.jpg", b"\xff\xd8\xff\xe0 a picture"
    pictures = [picture, b"no picture", picture]

    def answers(asked: Asked) -> list[Reply]:
        text = base64.b64encode(pictures.pop(0)).decode()
        return [reply("gym-1", asked, result={"jpeg": text, "width": 768, "height": 576, "seq": 42})]

    with Responder(broker.port, "gym-1", answers):
        done = controller("snapshot", "gym-1", "--out", str(out), *address(broker))
        again = controller("snapshot", "gym-1", "--out", str(out), *address(broker))
        wrong = controller("snapshot", "gym-1", "--out", str(out), "--force", *address(broker))
        as_json = controller("snapshot", "gym-1", "--out", str(out), "--force", "--json", *address(broker))
    assert (done.returncode, again.returncode, wrong.returncode, as_json.returncode) == (0, 2, 1, 0)
    assert f"{out}: 768x576, frame 42" in done.stderr
    assert "replace it with --force" in again.stderr
    assert "answered without a JPEG" in wrong.stderr
    assert json.loads(as_json.stdout)["result"] == {"file": str(out), "width": 768, "height": 576, "seq": 42}
    assert [path.name for path in tmp_path.glob("hall*")] == ["hall.jpg"]
    assert out.read_bytes() == picture
