"""Settings of a running agent from afar: at once, over a restart, and by one."""

import signal
import socket
from pathlib import Path

from agent.wire.commands import ReplyStatus
from agent.wire.messages import Metrics, State, Status
from agent.wire.settings import SettingsResult
from tests.broker import Broker
from tests.commander import Commander
from tests.system.conftest import TOPICS
from tests.system.process import SEEING, agent


def people(payload: bytes) -> int | None:
    return Metrics.decode(payload).persons_max


def test_a_threshold_holds_at_once_and_outlives_a_restart(broker: Broker, tmp_path: Path) -> None:
    """Nobody is certain enough any more, at the running engine, and still so in the next process; then all are back."""
    variables = {**SEEING, "EDGEPOSE_METRICS__WINDOW_S": "1", "EDGEPOSE_PATHS__STATE": str(tmp_path / "state")}
    with Commander(broker.port, TOPICS) as commander:

        def wait_for(somebody: bool) -> None:
            commander.wait(
                lambda seen: seen.topic == TOPICS.metrics and bool(people(bytes(seen.payload))) is somebody,
                timeout_s=60,
            )

        with agent(broker.port, **variables) as process:
            wait_for(somebody=True)
            reply = commander.ask("set", settings={"model.person_score_min": 1.0})
            assert reply.status is ReplyStatus.SUCCEEDED
            assert SettingsResult.model_validate(reply.result).restart == "none"
            commander.messages.clear()
            wait_for(somebody=False)
            refused = commander.ask("set", settings={"model.person_score_min": 0.2, "mqtt.host": "thief"})
            assert refused.status is ReplyStatus.REJECTED
            process.signal(signal.SIGTERM)
            assert process.end() == 0
        commander.messages.clear()
        with agent(broker.port, **variables):
            wait_for(somebody=False)
            state = State.decode(commander.payloads(TOPICS.state)[-1])
            assert state.settings == {"model.person_score_min": 1.0}
            assert commander.ask("unset").status is ReplyStatus.SUCCEEDED
            commander.messages.clear()
            wait_for(somebody=True)


def test_a_box_that_starts_in_a_pause_knows_the_pictures_shape(broker: Broker, tmp_path: Path) -> None:
    """What is switched to before there is any result has no square input."""
    variables = {"EDGEPOSE_PATHS__STATE": str(tmp_path / "state")}
    with Commander(broker.port, TOPICS) as commander:
        with agent(broker.port, **variables) as process:
            commander.wait_for(TOPICS.availability, b"online")
            assert commander.ask("pause").status is ReplyStatus.SUCCEEDED
            process.signal(signal.SIGTERM)
            assert process.end() == 0
        commander.messages.clear()
        with agent(broker.port, **variables):
            commander.wait_for(TOPICS.availability, b"online")
            assert commander.ask("set-hint", hint="throughput").status is ReplyStatus.SUCCEEDED
            size = State.decode(commander.payloads(TOPICS.state)[-1]).input
    assert size is not None
    assert (size.height, size.width) == (96, 128)


def test_a_service_starts_anew_for_the_rest(broker: Broker, tmp_path: Path) -> None:
    """It answers, ends with 0, and the process that a service manager then starts has the value; told as such."""
    address = tmp_path / "notify"
    variables = {"EDGEPOSE_PATHS__STATE": str(tmp_path / "state"), "NOTIFY_SOCKET": str(address)}
    with Commander(broker.port, TOPICS) as commander, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        with agent(broker.port, **variables) as process:
            commander.wait_for(TOPICS.availability, b"online")
            reply = commander.ask("set", settings={"camera.fps_max": 5})
            assert SettingsResult.model_validate(reply.result).restart == "now"
            assert process.end() == 0
        commander.messages.clear()
        with agent(broker.port, **variables):
            commander.wait(
                lambda seen: seen.topic == TOPICS.state and State.decode(bytes(seen.payload)).status is Status.RUNNING,
                timeout_s=60,
            )
            found = SettingsResult.model_validate(commander.ask("get", keys=["camera.fps_max"]).result)
    setting = found.settings["camera.fps_max"]
    assert (setting.value, setting.configured, setting.changed, setting.pending) == (5.0, None, True, False)
