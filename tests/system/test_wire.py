"""A running agent as anybody on the broker sees it, and as the controller shows it."""

import json
import signal
from collections.abc import Iterator

import pytest
from paho.mqtt.client import MQTTMessage

from agent.wire.messages import Event, Info, Keypoints, Message, Metrics, State, Status
from tests.broker import Broker, Listener
from tests.system.conftest import TOPICS
from tests.system.process import SEEING, Born, Process, agent, started

WINDOWS = 3
WINDOW_S = 2.0
"""Long enough for a frame on a machine that is busy with something else."""


@pytest.fixture(scope="module")
def module_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture(scope="module")
def heard(module_broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listener]:
    """What an agent says while it starts, cold, and runs for some windows; it keeps running."""
    cold = str(tmp_path_factory.mktemp("cold"))
    with (
        Listener(module_broker.port) as listener,
        started(module_broker.port, **SEEING, EDGEPOSE_PATHS__CACHE=cold, EDGEPOSE_METRICS__WINDOW_S=str(WINDOW_S)),
    ):
        listener.wait(
            lambda seen: seen.topic == TOPICS.metrics and len(listener.payloads(TOPICS.metrics)) >= WINDOWS,
            timeout_s=90,
        )
        yield listener


def of(listener: Listener, topic: str) -> list[MQTTMessage]:
    return [message for message in list(listener.messages) if message.topic == topic]


@pytest.mark.parametrize(
    ("topic", "kind", "qos", "retained"),
    [
        (TOPICS.info, Info, 1, True),
        (TOPICS.state, State, 1, True),
        (TOPICS.metrics, Metrics, 1, True),
        (TOPICS.keypoints, Keypoints, 0, False),
        (TOPICS.event, Event, 1, False),
    ],
)
def test_every_topic_is_as_the_contract_says(
    heard: Listener, topic: str, kind: type[Message], qos: int, retained: bool
) -> None:
    """Each message comes with the quality and retain flag of the contract and holds its fields and no others."""
    messages = of(heard, topic)
    assert messages
    assert {(message.qos, message.retain) for message in messages} == {(qos, retained)}
    for message in messages:
        told = kind.model_validate_json(message.payload)
        assert told.device_id == "demo"
        assert json.loads(message.payload)["schema"] == f"edgepose.{topic.rsplit('/', 1)[1]}/1"


def test_availability_is_plain_text(heard: Listener) -> None:
    """Whoever is there says `online` and nothing else, retained."""
    assert [(seen.payload, seen.qos, seen.retain) for seen in of(heard, TOPICS.availability)] == [(b"online", 1, True)]


def test_nothing_else_is_published(heard: Listener) -> None:
    """No topic is used that the contract does not name."""
    contract = {getattr(TOPICS, leaf) for leaf in ("availability", "info", "state", "metrics", "keypoints", "event")}
    assert {message.topic for message in list(heard.messages)} == contract


def test_gaps_in_seq_are_counted_drops(heard: Listener) -> None:
    """Every number missing from the keypoints is a frame the metrics count as dropped."""
    missing, dropped, last = 0, 0, -1
    for message in list(heard.messages):
        if message.topic == TOPICS.keypoints:
            seq = Keypoints.decode(bytes(message.payload)).seq
            assert seq > last
            missing, last = missing + seq - last - 1, seq
        elif message.topic == TOPICS.metrics:
            dropped += Metrics.decode(bytes(message.payload)).frames_dropped
            assert missing <= dropped
    assert last > 0


def test_the_state_tells_what_runs(heard: Listener) -> None:
    """The agent starts, then runs, and says what OpenVINO really does."""
    states = [State.decode(payload) for payload in heard.payloads(TOPICS.state)]
    assert states[0].status is Status.STARTING
    assert states[0].effective is None
    now = states[-1]
    assert now.status is Status.RUNNING
    assert now.effective is not None
    assert now.effective.execution_devices == ("CPU",)
    assert (now.effective.model_precision, now.effective.inference_precision) == ("FP32", "F32")
    assert now.effective.compile_ms > 0
    assert now.effective.engine == 1
    assert (now.camera.status, now.camera.source) == ("live", "clip:vtest")
    assert now.last_error is None


def test_the_metrics_agree_with_each_other(heard: Listener) -> None:
    """Counts add up, percentiles are in order, and a clip of 10 frames a second gives no more."""
    captured = processed = dropped = 0
    first, *_ = windows = [Metrics.decode(payload) for payload in heard.payloads(TOPICS.metrics)]
    for metrics in windows:
        captured += metrics.frames_captured
        processed += metrics.frames_processed
        dropped += metrics.frames_dropped
        assert processed + dropped <= captured
        assert metrics.window_s > 0.9 * WINDOW_S
        assert metrics.fps_mean == pytest.approx(metrics.frames_processed / metrics.window_s, rel=0.01)
        # The first counts what came while the network was compiled; a busy machine may take fewer than ten a second.
        assert metrics is first or metrics.frames_captured / metrics.window_s <= 15
        latency = [getattr(metrics, f"latency_ms_{name}") for name in ("min", "p50", "p95", "p99", "max")]
        assert latency == sorted(latency)
        assert (metrics.age_ms_p50 or 0) > (metrics.latency_ms_min or 0)
        assert (metrics.persons_max or 0) >= (metrics.persons_mean or 0) > 0
        assert 30 < (metrics.rss_mb or 0) < 1000


def controller(broker: Broker, *arguments: str) -> Process:
    with Born(["controller", "--broker", f"127.0.0.1:{broker.port}", *arguments]) as done:
        assert done.end(60) == 0, done.errors
    assert not done.errors
    return done


@pytest.mark.usefixtures("heard")
def test_the_controller_answers_in_json(module_broker: Broker) -> None:
    """`list`, `status`, `describe` and `watch` print JSON with what the agent says."""
    (row,) = json.loads("".join(controller(module_broker, "list", "--json").out))["devices"]
    assert (row["device_id"], row["availability"], row["status"]) == ("demo", "online", "running")
    assert 0 < row["fps"] <= 15
    status = json.loads("".join(controller(module_broker, "status", "demo", "--json").out))
    assert status["state"]["status"] == "running"
    assert status["metrics"]["frames_processed"] > 0
    told = json.loads("".join(controller(module_broker, "describe", "demo", "--json").out))["info"]
    assert {"CPU", "SIMCPU"} <= {device["name"] for device in told["devices"]}
    (network,) = (model for model in told["models"] if model["name"] == "movenet-multipose")
    assert network["precisions"][:2] == ["FP32", "FP16"]
    watched = [json.loads(line) for line in controller(module_broker, "watch", "demo", "--count", "4", "--json").out]
    assert (watched[0]["device_id"], watched[0]["availability"]) == ("demo", "online")
    assert [message["schema"] for message in watched[1:3]] == ["edgepose.state/1", "edgepose.metrics/1"]


@pytest.mark.usefixtures("heard")
def test_the_controller_shows_tables(module_broker: Broker) -> None:
    """Without --json a person reads the same in a table."""
    shown = "\n".join(controller(module_broker, "list").out)
    assert "device id" in shown
    assert "movenet-multipose" in shown
    assert "computed in F32, on CPU" in "\n".join(controller(module_broker, "status", "demo").out)
    assert "execution_devices" in "\n".join(controller(module_broker, "status", "demo", "--all").out)
    assert "openvino_version" in "\n".join(controller(module_broker, "describe", "demo").out)
    assert "persons" in "\n".join(controller(module_broker, "watch", "demo", "--count", "2").out)


def test_a_killed_agent_is_offline_until_it_is_back(broker: Broker) -> None:
    """SIGKILL leaves a retained `offline`; a new start replaces it by `online` and a state of its own."""
    with Listener(broker.port) as listener:
        with agent(broker.port) as first:
            listener.wait(running)
            first.signal(signal.SIGKILL)
            first.end()
        listener.wait_for(TOPICS.availability, b"offline")
    with Listener(broker.port) as listener:
        assert listener.wait_for(TOPICS.availability, b"offline").retain
        before = State.decode(bytes(listener.wait(lambda seen: seen.topic == TOPICS.state).payload))
        assert before.status is Status.RUNNING  # it could not say more
        since = listener.messages[-1].timestamp
        with agent(broker.port):
            listener.wait(lambda seen: running(seen) and seen.timestamp > since)
            listener.wait(lambda seen: seen.topic == TOPICS.keypoints)
            assert listener.payloads(TOPICS.availability)[-1] == b"online"
            after = State.decode(listener.payloads(TOPICS.state)[-1])
            assert after.status is Status.RUNNING
            assert after.since > before.since


def running(seen: MQTTMessage) -> bool:
    return seen.topic == TOPICS.state and State.decode(bytes(seen.payload)).status is Status.RUNNING
