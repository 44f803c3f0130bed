"""What the tests of the controller share: the command itself, and a broker with agents on it."""

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.wire.topics import Topics
from controller.cli import main
from tests import samples
from tests.broker import Broker, publish_all
from tests.nursery import NURSERY

COMMAND = Path(sys.executable).with_name("controller")


def environment(**variables: str) -> dict[str, str]:
    """Return ours, without what would change the controller's mind."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EDGEPOSE_", "_CONTROLLER"))}
    return kept | variables


def controller(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return NURSERY.run(["controller", *arguments], environment(**variables), cwd=Path.cwd())


def run_inside(*arguments: str) -> tuple[object, str]:
    """Run the command in this process, which is quicker; returns its exit code and standard error."""
    errors = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(errors):
        patch.setattr(sys, "argv", ["controller", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
    return ended.value.code, errors.getvalue()


def put_agent(port: int, device_id: str, *, availability: bytes = b"online", prefix: str = "edgepose") -> None:
    """Leave on the broker what a running agent has published."""
    topics = Topics(device_id, prefix)
    messages = {
        topics.availability: availability,
        topics.info: samples.info(device_id).encode(),
        topics.state: samples.state(device_id).encode(),
        topics.metrics: samples.metrics(device_id).encode(),
    }
    publish_all(port, messages, retain=True)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path) as running:
        yield running


@pytest.fixture
def fleet(broker: Broker) -> str:
    """Put two agents on the broker, one of them offline, and return its address."""
    put_agent(broker.port, "edge-1")
    put_agent(broker.port, "edge-2", availability=b"offline")
    return f"127.0.0.1:{broker.port}"
