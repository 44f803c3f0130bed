"""What the tests of the link share."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from agent.config.tree import Mqtt
from agent.link import Link
from agent.wire.topics import Topics
from tests.broker import Broker

TOPICS = Topics("edge-1")


class States:
    """Records what the link says about its connection."""

    def __init__(self) -> None:
        self.seen: list[bool] = []
        self._news = threading.Condition()

    def __call__(self, connected: bool) -> None:
        with self._news:
            self.seen.append(connected)
            self._news.notify_all()

    def wait(self, *expected: bool, timeout_s: float = 60.0) -> None:
        """Wait until exactly these have been seen."""
        with self._news:
            assert self._news.wait_for(lambda: self.seen == list(expected), timeout_s), self.seen


class Logs:
    """What has been logged, waited for instead of slept for."""

    def __init__(self, entries: list[Any]) -> None:
        self.entries = entries

    def of(self, event: str) -> list[dict[str, Any]]:
        return [entry for entry in self.entries if entry["event"] == event]

    def wait(self, event: str, wanted: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        pause = threading.Event()
        for _ in range(2000):
            for entry in self.of(event):
                if wanted(entry):
                    return entry
            pause.wait(0.01)
        raise AssertionError(f"no {event} among {self.entries}")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path) as running:
        yield running


@pytest.fixture
def logs() -> Iterator[Logs]:
    with capture_logs() as entries:
        yield Logs(entries)


@pytest.fixture
def states() -> States:
    return States()


def link_to(port: int, on_state: Callable[[bool], None] | None = None, **mqtt: Any) -> Link:
    """Make a link to loopback, not yet started."""
    return Link(Mqtt.model_validate({"host": "127.0.0.1", "port": port, **mqtt}), TOPICS, on_state=on_state)
