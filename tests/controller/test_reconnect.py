"""What follows a broker goes on after the broker was gone, and says what it missed."""

import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from agent.wire.topics import Topics
from tests import samples
from tests.broker import Broker, publish
from tests.controller.conftest import COMMAND, environment, put_agent

TOPICS = Topics("edge-1")


@contextmanager
def following(broker: Broker, *words: str) -> Iterator[subprocess.Popen[str]]:
    """The command with its two outputs."""
    command = [str(COMMAND), *words, "--broker", f"127.0.0.1:{broker.port}"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def lines_until(stream: IO[str] | None, word: str) -> list[str]:
    """Lines up to the first with this word."""
    assert stream is not None
    lines = []
    for line in stream:
        lines.append(line)
        if word in line:
            return lines
    raise AssertionError(f"no {word} in {lines}")


def away(broker: Broker, process: subprocess.Popen[str]) -> list[str]:
    """Take the broker away, and bring it back when that was noticed; what was told."""
    broker.kill()
    told = lines_until(process.stderr, "trying again")
    broker.start()
    return told + lines_until(process.stderr, "is back")


def until_heard(broker: Broker, topic: str, payload: bytes, process: subprocess.Popen[str]) -> str:
    """Say it again and again until the command prints a line: nobody knows when it has subscribed."""
    assert process.stdout is not None
    while True:
        publish(broker.port, topic, payload)
        if select.select([process.stdout], [], [], 0.1)[0]:
            return process.stdout.readline()


def test_events_go_on(broker: Broker) -> None:
    """The time of which nothing was heard is told, and the next event is printed."""
    put_agent(broker.port, "edge-1")
    event = samples.event().encode()
    with following(broker, "events", "edge-1", "--json") as process:
        assert '"code"' in until_heard(broker, TOPICS.event, event, process)
        for _ in range(2):
            told = away(broker, process)
            assert "nothing listens there" in "".join(told) or "broke" in "".join(told)
            assert "is missed" in told[-1]
            assert '"code"' in until_heard(broker, TOPICS.event, event, process)
        assert process.poll() is None


def test_a_watch_goes_on(broker: Broker) -> None:
    """What the broker retains by then is told again, and live messages after it."""
    put_agent(broker.port, "edge-1")
    with following(broker, "watch", "edge-1", "--json") as process:
        lines_until(process.stdout, "edgepose.metrics/1")
        away(broker, process)
        assert "edgepose.keypoints/1" in until_heard(broker, TOPICS.keypoints, samples.keypoints().encode(), process)


def test_a_recording_goes_on(broker: Broker, tmp_path: Path) -> None:
    """It holds what came before and after, and tells how many frames are missing."""
    put_agent(broker.port, "edge-1")
    out = tmp_path / "a.jsonl"
    with following(broker, "record", "edge-1", "--out", str(out)) as process:
        lines_until(process.stderr, "Recording edge-1")
        while not out.exists():
            publish(broker.port, TOPICS.keypoints, samples.keypoints(seq=7).encode())
        away(broker, process)
        while b'"seq":20' not in out.read_bytes():
            publish(broker.port, TOPICS.keypoints, samples.keypoints(seq=20).encode())
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert process.stderr is not None
        assert "12 frames missing in 1 gap" in process.stderr.read()


def test_time_is_up_while_the_broker_is_away(tmp_path: Path) -> None:
    """--seconds ends it then too, with exit 0."""
    with Broker(tmp_path) as broker:
        put_agent(broker.port, "edge-1")
        with following(broker, "events", "edge-1", "--json", "--seconds", "5") as process:
            until_heard(broker, TOPICS.event, samples.event().encode(), process)
            broker.kill()
            lines_until(process.stderr, "trying again")
            assert process.wait(60) == 0
