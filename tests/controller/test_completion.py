"""What the shell is offered, from the birth messages on the broker."""

import pytest
from click.shell_completion import ShellComplete

from controller.cli import cli
from tests.broker import Broker
from tests.controller.responder import put_member


@pytest.fixture
def offered(broker: Broker) -> Broker:
    """Put three boxes of two groups on the broker."""
    put_member(broker.port, "gym-1", groups=("gyms", "all"))
    put_member(broker.port, "gym-2", groups=("gyms",))
    put_member(broker.port, "hall-1", groups=("all",), availability=b"offline", processors=("CPU", "CUSTOM"))
    return broker


def complete(port: int, line: str) -> list[str]:
    """Ask as a shell's completion does, in this process; the cursor stands at the end of the line."""
    _program, *words, incomplete = line.split(" ")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEPOSE_BROKER", f"127.0.0.1:{port}")
        found = ShellComplete(cli, {}, "controller", "_CONTROLLER_COMPLETE").get_completions(words, incomplete)
    return [item.value for item in found]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("controller set-device g", ["gym-1", "gym-2"]),
        ("controller cancel hall", ["hall-1"]),
        ("controller snapshot gym-2", ["gym-2"]),
        ("controller set-device gym-1 ", ["AUTO", "CPU", "SIMCPU"]),
        ("controller set-device gym-1 sim", ["SIMCPU"]),
        ("controller set-device --group gyms c", ["CPU"]),
        ("controller set-device --group all c", ["CPU", "CUSTOM"]),
        ("controller set-model gym-1 o", ["openpose-mobilenet-v2-small"]),
        ("controller set-precision gym-1 fp", ["FP32", "FP16"]),
        ("controller set-precision hall-2 fp", []),
        ("controller quantize gym-1 --model mo", ["movenet-multipose"]),
        ("controller pause --group ", ["all", "gyms"]),
        ("controller set-affinity gym-1 --preset s", ["split"]),
    ],
)
def test_words_that_go_on(offered: Broker, line: str, words: list[str]) -> None:
    """Devices, groups, processors, networks and precisions complete to what the boxes addressed have."""
    assert complete(offered.port, line) == words


def test_without_a_broker_nothing_is_offered_and_nothing_said(offered: Broker) -> None:
    """Completion is silent when the broker is away."""
    offered.stop()
    assert complete(offered.port, "controller set-device gym-1 C") == []
