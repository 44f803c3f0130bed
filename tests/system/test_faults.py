"""What is wrong ends in one clear error, a state that says so, and an exit code."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from agent.wire.messages import Event, State, Status
from models.shelf.store import Store
from tests.broker import Broker, Listener, publish
from tests.system.conftest import TOPICS
from tests.system.process import DEMO, SMALL, Born, Process, agent, told

END_S = 30.0


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[camera]\nsorce = 'clip:vtest'\n", "camera.source"),
        ("[mqtt]\nport = 'many'\n", "mqtt.port"),
        ("[mqtt\n", "not valid TOML"),
    ],
)
def test_a_bad_configuration(broker: Broker, tmp_path: Path, text: str, fault: str) -> None:
    """An unknown key, a wrong type and no TOML at all: exit code 1, an error that names it, nothing published."""
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with Listener(broker.port) as listener:
        variables = {} if "port" in text else {"EDGEPOSE_MQTT__PORT": str(broker.port)}
        process = told("run", "--config", file, **variables)
        assert process.popen.returncode == 1
        assert process.errors[0].startswith(f"Error: {file}")
        assert fault in process.plain_errors
        assert "Traceback" not in process.plain_errors
        assert process.plain_errors.count("Error:") == 1
        publish(broker.port, "mark", b"")
        listener.wait_for("mark", b"")
        assert len(listener.messages) == 1


def failure(broker: Broker, process: Process) -> str:
    """Run to the end, which must be a failure told everywhere; returns what the log says, and the cure."""
    with Listener(broker.port) as listener:
        with process:
            failed = process.wait_log("agent.failed", timeout_s=60)
            assert process.end(END_S) == 1
        assert process.plain_errors == ""
        listener.wait_for(TOPICS.availability, b"offline")
        state = State.decode(listener.payloads(TOPICS.state)[-1])
        assert state.status is Status.FAILED
        hint = failed.get("hint")
        assert state.last_error == (f"{failed['error']} ({hint})" if hint else failed["error"])
        events = [Event.decode(payload) for payload in listener.payloads(TOPICS.event)]
        assert (events[-1].code, events[-1].severity, events[-1].message) == ("agent.failed", "error", state.last_error)
        assert listener.messages[-1].payload == b"offline", "something was said after the goodbye"
    assert [entry["event"] for entry in process.log].count("agent.failed") == 1
    return f"{failed['error']} {failed.get('hint', '')} {failed.get('exception', '')}"


def test_a_network_that_is_not_there(broker: Broker, tmp_path: Path) -> None:
    """A network that was never fetched: the error says how to fetch it."""
    said = failure(broker, agent(broker.port, EDGEPOSE_PATHS__MODELS=str(tmp_path)))
    assert "movenet-multipose is not in" in said
    assert "models fetch movenet-multipose" in said


def test_truncated_weights(broker: Broker, store: Store, tmp_path: Path) -> None:
    """A weight file cut short: the error names the file and says that a fetch makes it again."""
    for name in ("movenet-multipose", "vtest"):
        shutil.copytree(store.folder / name, tmp_path / name, copy_function=os.symlink)
    weights = Store(tmp_path).variant("movenet-multipose", "FP32").with_suffix(".bin")
    whole = weights.read_bytes()
    weights.unlink()
    weights.write_bytes(whole[: len(whole) // 2])
    said = failure(broker, agent(broker.port, EDGEPOSE_PATHS__MODELS=str(tmp_path)))
    assert f"{weights} is damaged" in said
    assert "models fetch movenet-multipose makes it again" in said


def test_a_damaged_network_that_is_not_wanted(broker: Broker, store: Store, tmp_path: Path) -> None:
    """A network that is not the one to run may be broken: it is left out of what the agent offers, and logged."""
    for name in ("movenet-multipose", "vtest"):
        (tmp_path / name).symlink_to(store.folder / name)
    other = tmp_path / "human-pose-estimation-0001"
    other.mkdir()
    (other / "manifest.json").write_text("{")
    with Listener(broker.port) as listener, agent(broker.port, EDGEPOSE_PATHS__MODELS=str(tmp_path)) as process:
        listener.wait(lambda seen: seen.topic == TOPICS.keypoints)
        assert process.wait_log("model.unreadable")["model"] == other.name
        assert other.name.encode() not in listener.payloads(TOPICS.info)[0]


@pytest.mark.parametrize(
    ("variables", "error", "cure"),
    [
        ({"EDGEPOSE_CAMERA__SOURCE": "nowhere.mp4"}, "there is no nowhere.mp4", "a relative path starts at"),
        ({"EDGEPOSE_CAMERA__SOURCE": str(DEMO)}, "is not a video that can be decoded", ""),
        ({"EDGEPOSE_INFERENCE__DEVICE": "NOPE"}, "names NOPE", "devices here: CPU, SIMCPU"),
        ({"EDGEPOSE_INFERENCE__DEVICE": "AUTO:NOPE,CPU"}, "names NOPE", "devices here: CPU, SIMCPU"),
    ],
)
def test_a_bad_camera_or_device(broker: Broker, variables: dict[str, str], error: str, cure: str) -> None:
    """A file that is missing or no video, a device the box lacks: exit code 1 and an error that says what is there."""
    said = failure(broker, agent(broker.port, **variables))
    assert error in said
    assert cure in said
    assert "Traceback" not in said


SEAMS = {
    "publish": """
encode = agent.assembly.encode_keypoints
def seam(result, device_id):
    if result.frame.seq < 3:
        return encode(result, device_id)
    raise ValueError("injected")
agent.assembly.encode_keypoints = seam
""",
    "read": """
from agent.capture.live import LiveSource
read = LiveSource.read
def seam(self, timeout_s):
    if self.counts().captured < 3:
        return read(self, timeout_s)
    raise ValueError("injected")
LiveSource.read = seam
""",
    "decode": """
make = agent.control.workshop.decoder_for
class Seam:
    def __init__(self, decoder):
        self.roles = decoder.roles
    def decode(self, outputs, letterbox):
        raise ValueError("injected")
agent.control.workshop.decoder_for = lambda card, **options: Seam(make(card, **options))
""",
    "supervise": """
def seam(*_):
    raise ValueError("injected")
agent.app.metrics_message = seam
""",
}


@pytest.mark.parametrize("seam", SEAMS)
def test_a_defect_ends_the_process(broker: Broker, seam: str) -> None:
    """An exception nobody expected, in whatever thread, ends the agent at once, with its traceback in the log."""
    program = f"import agent.app\nfrom agent.cli import main\n{SEAMS[seam]}\nmain()\n"
    variables = SMALL | {"EDGEPOSE_MQTT__PORT": str(broker.port), "EDGEPOSE_METRICS__WINDOW_S": "1"}
    said = failure(broker, Born([sys.executable, "-c", program, "run", "--config", DEMO], **variables))
    assert "Traceback" in said
    assert "in seam" in said or "in decode" in said
    assert "ValueError: injected" in said
