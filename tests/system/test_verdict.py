"""A switch whose result is slower than the camera says so, and goes back where the configuration wants that."""

from pathlib import Path

import pytest

from agent.wire.commands import KEEPS_UP, ErrorCode, ReplyStatus, SwitchResult
from agent.wire.messages import Keypoints
from tests import broken_networks
from tests.broker import Broker
from tests.commander import Commander
from tests.system.conftest import TOPICS
from tests.system.process import agent
from tests.system.small import variables


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One network that is quick, one that computes for a good part of a second."""
    folder = tmp_path_factory.mktemp("networks")
    broken_networks.sound(folder)
    broken_networks.sound(folder, 3, "tiny-other-sound")
    broken_networks.lagging(folder)
    return folder


@pytest.fixture
def camera(networks: Path, ten_frames: Path, tmp_path: Path) -> dict[str, str]:
    """An agent's variables for a camera of ten frames a second, which waits for nobody."""
    return variables(networks, ten_frames, tmp_path) | {
        "EDGEPOSE_CAMERA__LOSSLESS": "false",
        "EDGEPOSE_CAMERA__FOLDER_FPS": "10",
        "EDGEPOSE_SWITCH__MEASURE_S": "2",
        "EDGEPOSE_INFERENCE__HANG_TIMEOUT_S": "60",
    }


def test_the_reply_says_whether_it_keeps_up(broker: Broker, camera: dict[str, str]) -> None:
    """An engine as quick as the camera keeps up; a slow one is told with both rates, and stays."""
    with Commander(broker.port, TOPICS) as commander, agent(broker.port, **camera):
        commander.wait(lambda seen: seen.topic == TOPICS.keypoints, timeout_s=60)
        quick = SwitchResult.model_validate(commander.ask("set-model", model="tiny-other-sound").result)
        assert quick.verdict == KEEPS_UP
        assert quick.camera_fps is not None
        assert 1 < quick.camera_fps < 15
        slow = SwitchResult.model_validate(commander.ask("set-model", model="tiny-lagging").result)
        assert slow.verdict is not None
        assert slow.verdict.startswith("falls behind: ")
        assert slow.verdict.endswith(" fps")


def test_a_slow_engine_is_not_kept_where_that_is_configured(broker: Broker, camera: dict[str, str]) -> None:
    """Below switch.min_fps_ratio the old engine gets the frames back, and the error says how slow the new one was."""
    camera |= {"EDGEPOSE_SWITCH__MIN_FPS_RATIO": "0.8"}
    with Commander(broker.port, TOPICS) as commander, agent(broker.port, **camera):
        commander.wait(lambda seen: seen.topic == TOPICS.keypoints, timeout_s=60)
        reply = commander.ask("set-model", model="tiny-lagging")
        assert reply.status is ReplyStatus.FAILED
        assert reply.error is not None
        assert reply.error.code is ErrorCode.TOO_SLOW
        assert "falls behind" in reply.error.message
        assert "switch.min_fps_ratio" in reply.error.message
        assert reply.state_version == 0
        commander.messages.clear()
        seen = commander.wait(lambda seen: seen.topic == TOPICS.keypoints and b"tiny-sound" in seen.payload)
        assert Keypoints.decode(bytes(seen.payload)).engine == 3
