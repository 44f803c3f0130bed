"""`controller replay`, to a real broker."""

import signal
import subprocess
from datetime import timedelta
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.wire.messages import Keypoints, State, Status
from agent.wire.recording import Recording
from agent.wire.topics import Topics
from controller.commands import replay as command
from controller.terminal import progress
from tests import samples
from tests.broker import Broker, Listener, publish_all
from tests.contract.strategies import messages as any_of
from tests.controller.conftest import COMMAND, controller, environment, put_agent
from tests.record.conftest import DEVICE, end, messages, recorder, send

TOPICS = Topics(DEVICE)


def recording(path: Path, count: int = 5, spacing_s: float = 0.0) -> Path:
    """Write a recording of ``count`` frames."""
    first = samples.keypoints(DEVICE)
    with Recording(path, replace=True) as written:
        for seq in range(count):
            at = first.captured_at + timedelta(seconds=seq * spacing_s)
            written.add(first.model_copy(update={"seq": seq, "captured_at": at}).encode())
    return path


def replay(broker: Broker, path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return controller("replay", str(path), *options, "--broker", f"127.0.0.1:{broker.port}")


@settings(max_examples=3, suppress_health_check=list(HealthCheck))
@given(frames=st.lists(any_of(Keypoints), min_size=1, max_size=30))
def test_there_and_back(tmp_path_factory: pytest.TempPathFactory, frames: list[Keypoints]) -> None:
    """Recorded, replayed and recorded again, every message is the same but for the moment it was sent."""
    folder = tmp_path_factory.mktemp("there")
    frames = [frame.model_copy(update={"device_id": DEVICE}) for frame in frames]
    count = str(len(frames))
    with Broker(folder) as broker:
        publish_all(broker.port, {TOPICS.availability: b"offline"}, retain=True)
        with recorder(broker, folder / "a.jsonl", "--count", count) as process:
            send(broker, [frame.encode() for frame in frames])
            end(process)
        with recorder(broker, folder / "b.jsonl", "--count", count) as process:
            assert replay(broker, folder / "a.jsonl", "--speed", "0").returncode == 0
            end(process)
    first, second = (
        [message.model_copy(update={"sent_at": samples.NOW}) for message in messages(folder / name)]
        for name in ("a.jsonl", "b.jsonl")
    )
    assert first == second == [frame.model_copy(update={"sent_at": samples.NOW}) for frame in frames]


def test_it_appears_as_a_device(broker: Broker, tmp_path: Path) -> None:
    """A dashboard sees a device that comes online with a state, sends its frames and goes offline, in that order."""
    with Listener(broker.port, "edgepose/hall/#") as listener:
        done = replay(broker, recording(tmp_path / "a.jsonl"), "--as", "hall")
        assert done.returncode == 0, done.stderr
        hall = Topics("hall")
        listener.wait_for(hall.availability, b"offline")
    leaves = [message.topic.rsplit("/", 1)[1] for message in listener.messages]
    assert leaves == ["state", "availability", *["keypoints"] * 5, "state", "availability"]
    assert [message.retain for message in listener.messages] == [True, True, *[False] * 5, True, True]
    running, ended = map(State.decode, listener.payloads(hall.state))
    assert (running.status, ended.status) == (Status.RUNNING, Status.STOPPING)
    assert running.camera.source == "recording a.jsonl"
    assert listener.payloads(hall.availability) == [b"online", b"offline"]
    frames = [Keypoints.decode(payload) for payload in listener.payloads(hall.keypoints)]
    assert {frame.device_id for frame in frames} == {"hall"}
    assert all(frame.sent_at > samples.NOW for frame in frames)


def test_watch_follows_a_replay(broker: Broker, tmp_path: Path) -> None:
    """`controller watch` shows a replay like an agent, and Ctrl-C ends a looping one as offline, with exit 0."""
    path = recording(tmp_path / "a.jsonl", spacing_s=0.02)
    command = [str(COMMAND), "replay", str(path), "--loop", "--broker", f"127.0.0.1:{broker.port}"]
    with (
        Listener(broker.port) as listener,
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment()) as process,
    ):
        listener.wait_for(TOPICS.availability, b"online")
        watched = controller("watch", DEVICE, "--seconds", "1", "--broker", f"127.0.0.1:{broker.port}")
        assert len(listener.payloads(TOPICS.keypoints)) > 5
        process.send_signal(signal.SIGINT)
        _out, errors = process.communicate(timeout=60)
        assert (process.returncode, errors.count("\n")) == (0, 1)
        listener.wait(lambda message: listener.payloads(TOPICS.availability)[-1:] == [b"offline"])
    facts = dict(line.split(maxsplit=1) for line in watched.stdout.splitlines())
    assert (facts["status"].strip(), facts["persons"].strip()) == ("running", "2")
    assert facts["model"].strip() == "movenet-multipose"


def test_a_killed_replay_is_offline(broker: Broker, tmp_path: Path) -> None:
    """The broker itself says offline when a replay dies."""
    path = recording(tmp_path / "a.jsonl", count=2, spacing_s=60)
    command = [str(COMMAND), "replay", str(path), "--as", "hall", "--broker", f"127.0.0.1:{broker.port}"]
    with Listener(broker.port) as listener, subprocess.Popen(command, env=environment()) as process:
        listener.wait_for(Topics("hall").availability, b"online")
        process.kill()
        listener.wait_for(Topics("hall").availability, b"offline")


def test_it_keeps_the_spacing(broker: Broker, tmp_path: Path) -> None:
    """Frames come no sooner than they were captured after each other, divided by --speed."""
    path = recording(tmp_path / "a.jsonl", count=3, spacing_s=2.0)
    with recorder(broker, tmp_path / "b.jsonl", "--count", "3") as process:
        assert replay(broker, path, "--speed", "5").returncode == 0
        end(process)
    first, second, third = (message.sent_at for message in messages(tmp_path / "b.jsonl"))
    # A frame that left late may be followed sooner; against the first one none is early, to the wire's millisecond.
    assert second - first > timedelta(seconds=0.3)
    assert third - first > timedelta(seconds=0.7)


def test_as_fast_as_possible(broker: Broker, tmp_path: Path) -> None:
    """--speed 0 waits for nothing, also where the clock jumped by hours."""
    with Listener(broker.port) as listener:
        assert replay(broker, recording(tmp_path / "a.jsonl", spacing_s=3600.0), "--speed", "0").returncode == 0
        listener.wait_for(TOPICS.availability, b"online")
        assert len(listener.payloads(TOPICS.keypoints)) == 5


def test_a_log_is_told_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Without a terminal a line says how far it is."""
    monkeypatch.setattr(progress, "SAY_S", 0.0)
    played = command.Played(recording(tmp_path / "a.jsonl", 3), TOPICS, "any", 3, 1.0)
    command._play(MagicMock(), played, speed=0, loop=False)
    assert capsys.readouterr().err.splitlines() == [f"{DEVICE}: {sent} of 3 frames" for sent in (1, 2, 3)]


def test_a_live_device_is_left_alone(broker: Broker, tmp_path: Path) -> None:
    """A device that is online is refused, exit 1; --force sends keypoints beside it and touches nothing retained."""
    put_agent(broker.port, DEVICE)
    path = recording(tmp_path / "a.jsonl")
    refused = replay(broker, path)
    assert refused.returncode == 1
    assert f"{DEVICE} is online" in refused.stderr
    assert "--as" in refused.stderr
    with Listener(broker.port) as listener:
        before = {message.topic: bytes(message.payload) for message in listener.messages}
        assert replay(broker, path, "--force").returncode == 0
        listener.wait(lambda _: len(listener.payloads(TOPICS.keypoints)) == 5)
        retained = [message for message in listener.messages if message.retain]
    assert {message.topic: bytes(message.payload) for message in retained} | before == {
        TOPICS.availability: b"online",
        TOPICS.info: samples.info(DEVICE).encode(),
        TOPICS.state: samples.state(DEVICE).encode(),
        TOPICS.metrics: samples.metrics(DEVICE).encode(),
    }
    assert len(retained) == 4


def test_a_cut_off_recording_is_played(broker: Broker, tmp_path: Path) -> None:
    """Of a recording that a crash cut off the whole lines are played; the rest is named once, with its line number."""
    path = recording(tmp_path / "a.jsonl")
    path.write_bytes(path.read_bytes()[:-40])
    with Listener(broker.port) as listener:
        done = replay(broker, path)
        assert done.returncode == 0
        assert done.stderr.count(f"{path}:5: the last line is cut off, skipped") == 1
        listener.wait(lambda _: listener.payloads(TOPICS.availability)[-1:] == [b"offline"])
        assert [Keypoints.decode(sent).seq for sent in listener.payloads(TOPICS.keypoints)] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b"{}\n", "a.jsonl:1: no keypoints message: "),
        ("a.jsonl", b"", "holds no message"),
        ("a.json", b"[]\n", "expected a recording ending in .jsonl"),
        ("a.jsonl", samples.keypoints("No Id").encode() + b"\n", "name the device with --as"),
    ],
)
def test_a_file_that_cannot_be_played(broker: Broker, tmp_path: Path, name: str, content: bytes, said: str) -> None:
    """A faulty file is exit 1 and its fault, before a word is published."""
    (tmp_path / name).write_bytes(content)
    with Listener(broker.port) as listener:
        done = replay(broker, tmp_path / name)
        assert {message.topic for message in listener.messages} <= {TOPICS.availability}
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_usage(tmp_path: Path) -> None:
    """A file that is not there, a speed below zero and an id that is none are exit 2."""
    path = str(recording(tmp_path / "a.jsonl"))
    for arguments in ([str(tmp_path / "b.jsonl")], [path, "--speed", "-1"], [path, "--as", "No Id"]):
        assert controller("replay", *arguments).returncode == 2


def test_a_broker_that_forbids_it(tmp_path: Path) -> None:
    """A broker whose access list lets us only read: exit 5, and it says why."""
    rules = tmp_path / "acl"
    rules.write_text("topic read #\n")
    with Broker(tmp_path, ["allow_anonymous true", f"acl_file {rules}"]) as broker:
        done = replay(broker, recording(tmp_path / "a.jsonl"))
    assert done.returncode == 5
    assert "not authorised" in done.stderr


def test_a_lost_broker_ends_the_replay(broker: Broker, tmp_path: Path) -> None:
    """When the broker dies the replay ends with exit 5 and says so."""
    path = recording(tmp_path / "a.jsonl", spacing_s=0.02)
    command = [str(COMMAND), "replay", str(path), "--loop", "--broker", f"127.0.0.1:{broker.port}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment()) as process:
        with Listener(broker.port) as listener:
            listener.wait_for(TOPICS.availability, b"online")
        broker.kill()
        _out, errors = process.communicate(timeout=60)
    assert process.returncode == 5
    assert "the connection broke" in errors
    assert "Traceback" not in errors
