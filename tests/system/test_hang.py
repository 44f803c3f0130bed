"""An inference that never returns, in a real agent: a network whose loop does not end for a dark picture."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.wire.messages import Event, State, Status
from tests import broken_networks
from tests.broker import Broker
from tests.commander import Commander
from tests.system.conftest import TOPICS
from tests.system.process import agent
from tests.system.small import variables


@pytest.fixture
def dusk(tmp_path: Path) -> Path:
    """Five bright pictures, and then the lights are out."""
    folder = tmp_path / "dusk"
    folder.mkdir()
    for number in range(8):
        picture = np.full((64, 64, 3), 120 if number < 5 else 0, np.uint8)
        assert cv2.imwrite(str(folder / f"{number}.png"), picture)
    return folder


def test_an_inference_that_never_returns_is_told_and_ends_the_agent(broker: Broker, dusk: Path, tmp_path: Path) -> None:
    """Nobody watches over the process: it says itself that the device hangs, is degraded, and ends with an error."""
    networks = tmp_path / "networks"
    given = variables(networks, dusk, tmp_path) | {
        "EDGEPOSE_MODEL__NAME": broken_networks.hangs_in_the_dark(networks),
        "EDGEPOSE_CAMERA__LOOP": "false",
        "EDGEPOSE_INFERENCE__HANG_TIMEOUT_S": "2",
    }
    with Commander(broker.port, TOPICS) as heard, agent(broker.port, **given) as process:
        hung = heard.wait(lambda seen: seen.topic == TOPICS.event and b"engine.hung" in seen.payload, timeout_s=60)
        event = Event.decode(bytes(hung.payload))
        assert (event.severity, event.facts["device"]) == ("error", "CPU")
        assert "has not answered for 1 s" in event.message
        degraded = heard.wait(lambda seen: seen.topic == TOPICS.state and b'"degraded"' in seen.payload, timeout_s=30)
        assert "has not answered" in (State.decode(bytes(degraded.payload)).last_error or "")
        assert process.end(30) == 1
        states = [State.decode(payload) for payload in heard.payloads(TOPICS.state)]
        assert states[-1].status is Status.FAILED
        assert "tiny-hanging on CPU has not answered for 2 s" in (states[-1].last_error or "")
    assert process.wait_log("agent.failed")["hint"]


def test_a_start_that_never_ends_is_told_and_ends_the_agent(broker: Broker, dusk: Path, tmp_path: Path) -> None:
    """An engine that does not answer its first picture: the agent does not stay `starting` for ever."""
    networks = tmp_path / "networks"
    given = variables(networks, dusk, tmp_path) | {
        "EDGEPOSE_MODEL__NAME": broken_networks.never_answers(networks),
        "EDGEPOSE_INFERENCE__START_TIMEOUT_S": "6",
    }
    with Commander(broker.port, TOPICS) as heard, agent(broker.port, **given) as process:
        assert process.end(60) == 1
        failed = heard.wait(lambda seen: seen.topic == TOPICS.state and b'"failed"' in seen.payload, timeout_s=30)
        assert "no engine runs 6 s after the start" in (State.decode(bytes(failed.payload)).last_error or "")
