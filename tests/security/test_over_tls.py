"""A real agent and the real controller over the broker configuration operators are given."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.authority import context, make_authority, secure_lines
from tests.broker import Broker
from tests.controller.conftest import controller
from tests.security.acl_matrix import DEVICES
from tests.security.small import small
from tests.security.visitor import Visitor
from tests.system.process import Process, agent

A, B = DEVICES


@dataclass(frozen=True)
class Gym:
    """A broker with one agent on it."""

    authority: Path
    port: int
    agent: Process

    def controller(self, role: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the controller with a role's certificate."""
        files = {"--cafile": "ca.pem", "--cert": f"{role}.pem", "--key": f"{role}.key"}
        options = [word for option, name in files.items() for word in (option, str(self.authority / name))]
        return controller(*options, "--broker", f"127.0.0.1:{self.port}", *arguments)


def tls_variables(authority: Path, device: str) -> dict[str, str]:
    """Environment of an agent that shows the certificate of a device."""
    return {
        "EDGEPOSE_DEVICE_ID": device,
        "EDGEPOSE_GROUPS": '["gym"]',
        "EDGEPOSE_MQTT__TLS__ENABLED": "true",
        "EDGEPOSE_MQTT__TLS__CA_FILE": str(authority / "ca.pem"),
        "EDGEPOSE_MQTT__TLS__CERT_FILE": str(authority / f"{device}.pem"),
        "EDGEPOSE_MQTT__TLS__KEY_FILE": str(authority / f"{device}.key"),
    }


@pytest.fixture(scope="module")
def gym(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gym]:
    folder = tmp_path_factory.mktemp("gym")
    make_authority(folder, *DEVICES)
    with (
        Broker(folder, secure_lines(folder)) as broker,
        agent(broker.port, **small(folder), **tls_variables(folder, A)) as process,
        Visitor(broker.port, context(folder, "operator"), [f"edgepose/{A}/keypoints"]) as operator,
    ):
        process.wait_log("engine.ready")
        while not operator.messages:
            operator.turn()
        yield Gym(folder, broker.port, process)


def test_an_operator_sees_and_commands(gym: Gym) -> None:
    """With the operator's certificate devices are listed, a switch is answered, and so is a command to the group."""
    listed = json.loads(gym.controller("operator", "list", "--json").stdout)["devices"]
    assert [agent["device_id"] for agent in listed] == [A]
    switched = gym.controller("operator", "set-hint", A, "throughput", "--json")
    assert json.loads(switched.stdout)["status"] == "succeeded", switched.stderr
    grouped = gym.controller("operator", "pause", "--group", "gym", "--json")
    assert [reply["status"] for reply in json.loads(grouped.stdout)["devices"]] == ["succeeded"], grouped.stderr
    assert gym.controller("operator", "resume", A).returncode == 0


def test_a_viewer_sees_and_cannot_command(gym: Gym) -> None:
    """With the viewer's certificate the state is shown; a command ends with exit code 5 and changes nothing."""
    before = json.loads(gym.controller("viewer", "status", A, "--json").stdout)["state"]["version"]
    refused = gym.controller("viewer", "pause", A)
    assert refused.returncode == 5
    assert "not authorised" in refused.stderr
    assert json.loads(gym.controller("viewer", "status", A, "--json").stdout)["state"]["version"] == before


def test_another_device_cannot_command_it(gym: Gym) -> None:
    """A device's certificate in the controller's hands commands nobody."""
    assert gym.controller(B, "pause", A).returncode != 0
    assert "paused" not in gym.controller("operator", "status", A).stdout


def test_nothing_the_agent_says_is_denied(gym: Gym) -> None:
    """The access list allows all an agent writes and reads: its log knows no refusal."""
    assert not [entry for entry in gym.agent.log if entry["event"] in {"broker.denied", "broker.lost"}]


def test_a_reply_goes_nowhere_else(gym: Gym) -> None:
    """Asked to answer on a topic of others, the agent tries, is refused by the broker, and goes on."""
    with Visitor(gym.port, context(gym.authority, "operator"), ["edgepose/#"]) as operator:
        ask = {"id": "elsewhere", "reply_to": "homeassistant/switch/door/set"}
        assert operator.publish(f"edgepose/{A}/command/jobs", json.dumps(ask).encode())
        gym.agent.wait_log("broker.denied", lambda entry: entry["topic"] == ask["reply_to"])
    assert gym.controller("operator", "status", A).returncode == 0
