"""`controller record`, from a real broker."""

import json
import signal
import time
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from agent.wire.recording import Recording
from agent.wire.topics import Topics
from controller.client.fleet import Agent
from controller.commands import record
from controller.terminal import progress
from tests import samples
from tests.broker import Broker, Listener
from tests.controller.conftest import controller
from tests.record.conftest import DEVICE, end, messages, recorder, send


def payloads(*seqs: int) -> list[bytes]:
    return [samples.keypoints(seq=seq).encode() for seq in seqs]


def wait_until_filled(path: Path, lines: int) -> None:
    """Wait until another process has written so many lines."""
    deadline = time.monotonic() + 30
    while not path.exists() or path.read_bytes().count(b"\n") < lines:
        assert time.monotonic() < deadline, f"{path} was not filled"
        time.sleep(0.01)


def test_it_keeps_what_came(broker: Broker, tmp_path: Path) -> None:
    """Every message lands in the file as it stood on the wire; what is missing is counted at the end."""
    out = tmp_path / "a.jsonl"
    with recorder(broker, out, "--count", "5", "--json") as process:
        send(broker, payloads(3, 4, 7, 8, 9))
        printed, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.read_bytes().splitlines() == payloads(3, 4, 7, 8, 9)
    assert errors == f"{out}: 5 frames, 10 persons, 2 frames missing in 1 gap\n"
    counts = {"frames": 5, "persons": 10, "gaps": 1, "missing": 2, "restarts": 0}
    assert json.loads(printed) == {"schema": "edgepose.recording/1", "device_id": DEVICE} | counts


def test_it_skips_and_names_garbage(broker: Broker, tmp_path: Path) -> None:
    """What is no keypoints message of this device is named and never reaches the file."""
    out = tmp_path / "a.jsonl"
    with recorder(broker, out, "--count", "2") as process:
        send(broker, [*payloads(0), b"{}", samples.keypoints("edge-2", seq=1).encode(), *payloads(2)])
        errors = end(process)
    assert out.read_bytes().splitlines() == payloads(0, 2)
    assert errors.count(f"Warning: {Topics(DEVICE).keypoints}: not understood, skipped") == 2


def test_a_log_is_told_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Without a terminal a line says how much has been recorded, before the end does."""
    monkeypatch.setattr(progress, "SAY_S", 0.0)
    session: Any = MagicMock()
    session.keypoints.return_value = (Agent(DEVICE), iter(payloads(0, 1)))
    out = tmp_path / "a.jsonl"
    record.record_into(session, DEVICE, Recording(out, replace=False), seconds=None, count=None)
    said = capsys.readouterr().err.splitlines()
    assert said[1:] == [
        f"{out}: 1 frame, 2 persons, 0 frames missing in 0 gaps",
        *[f"{out}: 2 frames, 4 persons, 0 frames missing in 0 gaps"] * 2,
    ]


def test_its_seconds_end_it(broker: Broker, tmp_path: Path) -> None:
    """--seconds ends with exit 0; when nothing came, nothing is written and that is said."""
    with recorder(broker, tmp_path / "a.json", "--seconds", "0.3") as process:
        assert end(process) == "Nothing came, nothing is written.\n"
    assert not list(tmp_path.glob("*.json*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("name", "written"), [("a.jsonl", "a.jsonl"), ("a.json", ".a.json.part")])
def test_a_signal_is_a_clean_end(
    broker: Broker, tmp_path: Path, number: signal.Signals, name: str, written: str
) -> None:
    """Ctrl-C and SIGTERM leave a complete file of either format and exit 0."""
    with recorder(broker, tmp_path / name) as process:
        send(broker, payloads(0, 1, 2))
        wait_until_filled(tmp_path / written, 3 if name == "a.jsonl" else 6)
        process.send_signal(number)
        assert "3 frames, 6 persons" in end(process)
    if name == "a.jsonl":
        assert [message.seq for message in messages(tmp_path / name)] == [0, 1, 2]
    else:
        assert [entry["image_id"] for entry in json.loads((tmp_path / name).read_bytes())] == [0, 0, 1, 1, 2, 2]


def test_a_crash_keeps_the_lines(broker: Broker, tmp_path: Path) -> None:
    """SIGKILL costs nothing that was there."""
    out = tmp_path / "a.jsonl"
    with recorder(broker, out) as process:
        send(broker, payloads(0, 1, 2))
        wait_until_filled(out, 3)
        process.kill()
    assert [message.seq for message in messages(out)] == [0, 1, 2]


def test_a_lost_broker_keeps_the_results(broker: Broker, tmp_path: Path) -> None:
    """When the broker dies, that is told and waited out; a signal meanwhile moves in what came."""
    with recorder(broker, tmp_path / "a.json") as process:
        send(broker, payloads(0, 1))
        wait_until_filled(tmp_path / ".a.json.part", 4)
        broker.kill()
        assert process.stderr is not None
        assert "the connection broke" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert "2 frames" in end(process)
    assert len(json.loads((tmp_path / "a.json").read_bytes())) == 4


def test_a_file_is_not_overwritten(broker: Broker, tmp_path: Path) -> None:
    """An existing file is wrong usage before the broker is asked, and stays; --force replaces it."""
    out = tmp_path / "a.jsonl"
    out.write_text("precious")
    refused = controller("record", DEVICE, "--out", str(out), "--broker", "127.0.0.1:1")
    assert refused.returncode == 2
    assert "exists" in refused.stderr
    assert "--force" in refused.stderr
    assert out.read_text() == "precious"
    with recorder(broker, out, "--count", "1", "--force") as process:
        send(broker, payloads(0))
        end(process)
    assert [message.seq for message in messages(out)] == [0]


def test_wrong_usage_and_unknown_devices(broker: Broker, tmp_path: Path) -> None:
    """A name without a format is exit 2, an unknown device exit 3; neither leaves a file."""
    address = f"127.0.0.1:{broker.port}"
    assert controller("record", DEVICE, "--out", str(tmp_path / "a.csv"), "--broker", address).returncode == 2
    assert controller("record", DEVICE, "--broker", address).returncode == 2
    unknown = controller("record", "edge-11", "--out", str(tmp_path / "a.json"), "--broker", address)
    assert unknown.returncode == 3
    assert f"did you mean {DEVICE}?" in unknown.stderr
    assert not list(tmp_path.glob("a*"))


def test_a_recorder_is_silent_on_the_broker(broker: Broker, tmp_path: Path) -> None:
    """Recording publishes nothing."""
    with Listener(broker.port) as listener, recorder(broker, tmp_path / "a.json", "--count", "1") as process:
        send(broker, payloads(0))
        end(process)
        assert {message.topic for message in listener.messages} == {
            Topics(DEVICE).availability,
            Topics(DEVICE).keypoints,
        }
