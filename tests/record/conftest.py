"""What these tests share: a broker, a device on it, and a recorder that is known to listen."""

import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.wire.messages import Keypoints
from agent.wire.recording import read
from agent.wire.topics import Topics
from tests.broker import Broker, hang_up, publish
from tests.controller.conftest import COMMAND, environment

DEVICE = "edge-1"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path) as running:
        publish(running.port, Topics(DEVICE).availability, b"offline", retain=True)
        yield running


@contextmanager
def recorder(broker: Broker, out: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Start `controller record` and go on when it has subscribed; whoever leaves must have seen it end."""
    command = [str(COMMAND), "record", DEVICE, "--out", str(out), "--broker", f"127.0.0.1:{broker.port}", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        try:
            assert process.stderr is not None
            first = process.stderr.readline()
            assert first.startswith(f"Recording {DEVICE}"), first + process.stderr.read()
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def end(process: subprocess.Popen[str]) -> str:
    """Wait for a clean end; returns what it said last."""
    _out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return errors


def send(broker: Broker, payloads: Iterable[bytes]) -> None:
    """Publish keypoints in order with QoS 0, as an agent does."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    for payload in payloads:
        client.publish(Topics(DEVICE).keypoints, payload).wait_for_publish(10)
    hang_up(client)


def messages(path: Path) -> list[Keypoints]:
    """Return the messages of a recording without a fault."""
    faults: list[str] = []
    found = [message for _, message in read(path, faults.append)]
    assert not faults
    return found
