"""An agent with every secret it can have: what leaves it holds none of them."""

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.broker import Broker, Listener
from tests.capture.mjpeg import MjpegCamera
from tests.controller.conftest import controller
from tests.security.small import small
from tests.system.process import BIN, Process, agent, finished

CAMERA, ACCOUNT, KEY = "c4mera-secret", "br0ker-secret", "s1gning-secret-" + "k" * 32
SECRETS = (CAMERA, ACCOUNT, KEY, KEY[:16], KEY[-16:])
DEVICE = "demo"


@dataclass
class Box:
    """An agent on a broker that wants a password, at a camera that wants one."""

    agent: Process
    broker: Broker
    camera: MjpegCamera
    heard: Listener
    folder: Path
    variables: dict[str, str]
    told: dict[str, str] = field(default_factory=dict)
    """What was told to whom."""

    def controller(self, *arguments: str, signed: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the controller as the one who has the key."""
        key = {"EDGEPOSE_SIGNING_KEY": str(self.folder / "key")} if signed else {}
        address = f"mqtt://{DEVICE}:{ACCOUNT}@127.0.0.1:{self.broker.port}"
        done = controller(*arguments, EDGEPOSE_BROKER=address, **(key | variables))
        self.told[" ".join(["controller", *arguments])] = done.stdout + done.stderr
        return done


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    if shutil.which("mosquitto_passwd") is None:
        pytest.skip("mosquitto_passwd is not installed")
    folder = tmp_path_factory.mktemp("box")
    (folder / "key").write_text(f"{KEY}\n")
    (folder / "password").write_text(f"{ACCOUNT}\n")
    subprocess.run(["mosquitto_passwd", "-c", "-b", folder / "passwords", DEVICE, ACCOUNT], check=True)
    lines = ["allow_anonymous false", f"password_file {folder / 'passwords'}"]
    with Broker(folder, lines) as broker, MjpegCamera(0.05, credentials=f"viewer:{CAMERA}") as camera:
        listener = Listener(broker.port)
        listener.client.username_pw_set(DEVICE, ACCOUNT)
        variables = small(folder) | {
            "EDGEPOSE_CAMERA__SOURCE": camera.url,
            "EDGEPOSE_CAMERA__LOSSLESS": "false",
            "EDGEPOSE_CAMERA__LOOP": "false",
            "EDGEPOSE_CAMERA__READ_TIMEOUT_S": "0.5",
            "EDGEPOSE_MQTT__USERNAME": DEVICE,
            "EDGEPOSE_MQTT__PASSWORD_FILE": str(folder / "password"),
            "EDGEPOSE_COMMANDS__KEY_FILE": str(folder / "key"),
            "EDGEPOSE_OUTPUT__SNAPSHOTS": "true",
            "EDGEPOSE_LOG__LEVEL": "debug",
            "EDGEPOSE_METRICS__WINDOW_S": "0.5",
        }
        with listener, agent(broker.port, **variables) as process:
            listener.wait(lambda seen: seen.topic == f"edgepose/{DEVICE}/keypoints", timeout_s=60)
            yield Box(process, broker, camera, listener, folder, variables)


def test_who_has_the_key_commands(box: Box) -> None:
    """The controller signs with the key of the file, to a device and to a glob, and is obeyed."""
    assert json.loads(box.controller("pause", DEVICE, "--json").stdout)["status"] == "succeeded"
    assert json.loads(box.controller("resume", "d*", "--json").stdout)[0]["status"] == "succeeded"
    file = str(box.folder / "key")
    assert box.controller("jobs", DEVICE, "--signing-key", file, signed=False).returncode == 0


def test_who_has_none_is_refused(box: Box) -> None:
    """Unsigned, or with another key, a command ends with exit code 4 and the reason; a bad key file with 2."""
    unsigned = box.controller("pause", DEVICE, signed=False)
    other = box.folder / "other"
    other.write_text("x" * 32)
    forged = box.controller("pause", DEVICE, EDGEPOSE_SIGNING_KEY=str(other))
    assert (unsigned.returncode, forged.returncode) == (4, 4)
    assert "signed commands alone" in unsigned.stderr
    assert "signature" in forged.stderr
    other.write_text("short")
    assert box.controller("pause", DEVICE, EDGEPOSE_SIGNING_KEY=str(other)).returncode == 2


def test_nothing_that_leaves_holds_a_secret(box: Box) -> None:
    """Log, state folder, every message, what the controller and the doctor print: no password, no key, no part of it.

    The agent is asked for all it can tell, loses camera and broker, starts with what is wrong, and ends.
    """
    box.controller("pause", DEVICE, signed=False)
    for words in (
        ["status", DEVICE],
        ["list"],
        ["describe", DEVICE],
        ["snapshot", DEVICE, "--out", str(box.folder / "p.jpg")],
    ):
        box.controller(*words, "--json")
    box.camera.refuse()
    box.agent.wait_log("camera.lost")
    box.broker.kill()
    box.agent.wait_log("broker.lost")
    box.agent.popen.terminate()
    assert box.agent.end() == 0
    given = box.variables | {"EDGEPOSE_MQTT__HOST": "127.0.0.1", "EDGEPOSE_MQTT__PORT": str(box.broker.port)}
    demo = str(Path(__file__).parents[2] / "configs/demo.toml")
    for words in (["doctor", "--json", "--config", demo], ["check-config", demo], ["schema"]):
        done = finished(BIN / "agent", *words, **given)
        box.told[" ".join(["agent", *words])] = "\n".join([*done.out, *done.errors])
    bad = given | {"EDGEPOSE_MQTT__PASSWORD": ACCOUNT, "EDGEPOSE_CAMERA__WIDTH": "-1"}
    done = finished(BIN / "agent", "check-config", demo, **bad)
    box.told["a wrong configuration"] = "\n".join([*done.out, *done.errors])
    (box.folder / "key").write_text(f"{KEY} with spaces\n")
    done = finished(BIN / "agent", "run", "--config", demo, **given)
    box.told["a wrong key file"] = "\n".join([*done.out, *done.errors])
    assert "commands.key_file" in box.told["a wrong key file"]

    state = {str(path): path.read_text("latin-1") for path in (box.folder / "state").rglob("*") if path.is_file()}
    assert any(path.endswith(f"{DEVICE}.json") for path in state)
    messages = {
        f"{seen.topic} {number}": bytes(seen.payload).decode() for number, seen in enumerate(box.heard.messages)
    }
    assert any("/reply/" in name for name in messages)
    log = {"the log": "\n".join([*box.agent.errors, *box.agent.out])}
    everything = box.told | state | messages | log
    ways = [form for secret in SECRETS for form in (secret, base64.b64encode(secret.encode()).decode().rstrip("="))]
    found = [(name, form) for name, text in everything.items() for form in ways if form in text]
    assert not found
    # The search would find them: what is no secret is there.
    assert any("127.0.0.1" in text for text in everything.values())
