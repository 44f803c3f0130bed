"""The programs of docs/client.md do what they say, on a real agent."""

import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from agent.wire.commands import Reply, ReplyStatus
from agent.wire.messages import Event, Severity
from tests import samples
from tests.broker import Broker
from tests.commander import Commander
from tests.system.conftest import TOPICS
from tests.system.process import Process, agent, finished

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
ENTERED = Event(
    device_id="demo",
    sent_at=samples.NOW,
    code="zone.entered",
    severity=Severity.INFO,
    message="person 7 entered hall",
    facts={"zone": "hall", "id": 7, "at": "2026-01-31T06:30:00.125Z"},
)


def test_the_examples_do_what_they_say(broker: Broker) -> None:
    """The list has the box, whoever enters a zone is told, the box runs on the other device, and a refusal is told."""
    where = f"127.0.0.1:{broker.port}"
    with Commander(broker.port, TOPICS) as commander, agent(broker.port, EDGEPOSE_METRICS__WINDOW_S="1"):
        commander.wait(lambda seen: seen.topic == TOPICS.metrics, timeout_s=60)
        listed = finished(sys.executable, EXAMPLES / "list_boxes.py", where)
        assert len(listed.out) == 1, listed.errors
        assert listed.out[0].startswith("demo: online, ")
        with Process([sys.executable, "-u", EXAMPLES / "follow_zone.py", where, "demo"]) as following:
            while following.popen.poll() is None:  # it may not have subscribed yet when the first is told
                commander.client.publish(TOPICS.event, ENTERED.encode(), 1).wait_for_publish(10)
                with suppress(subprocess.TimeoutExpired):
                    following.popen.wait(0.2)
            assert following.end() == 0, following.errors
        assert following.out == ["person 7 entered hall at 2026-01-31T06:30:00.125Z"]
        switched = finished(sys.executable, EXAMPLES / "switch_device.py", where, "demo", "SIMCPU")
        assert switched.out[-1].endswith("frames a second on SIMCPU"), switched.errors
        refused = finished(sys.executable, EXAMPLES / "switch_device.py", where, "demo", "GPU.7")
        assert refused.errors[-1].startswith("rejected: ")


def test_mosquittos_own_tool_has_a_reply(broker: Broker) -> None:
    """The line of docs/client.md pauses the box and prints what it answers."""
    if shutil.which("mosquitto_rr") is None:
        pytest.skip("mosquitto_rr is not installed")
    page = (EXAMPLES.parent / "client.md").read_text(encoding="utf-8")
    (line,) = [line for line in page.splitlines() if line.startswith("$ mosquitto_rr")]
    assert "-t edgepose/hall/command/set-paused" in line
    body = line.partition("-m '")[2].partition("'")[0]
    topic, answer = TOPICS.command("set-paused"), TOPICS.reply("me")
    with Commander(broker.port, TOPICS) as commander, agent(broker.port):
        commander.wait(lambda seen: seen.topic == TOPICS.keypoints, timeout_s=60)
        asked = ["-V", "mqttv5", "-t", topic, "-m", body, "-e", answer, "-p", str(broker.port), "-h", "127.0.0.1"]
        done = finished("mosquitto_rr", *asked)
        reply = Reply.decode("\n".join(done.out).encode())
        assert (reply.status, reply.result) == (ReplyStatus.SUCCEEDED, {"paused": True})
        commander.wait(lambda seen: seen.topic == TOPICS.state and b'"paused"' in seen.payload)
