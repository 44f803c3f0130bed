"""An agent with every secret it can have: what leaves it holds none of them."""

import base64
import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote, quote_plus, urlsplit

import pytest

from tests.broker import Broker, Listener, free_port
from tests.capture.mjpeg import MjpegCamera
from tests.controller.conftest import controller, run_inside
from tests.security.small import small
from tests.system.process import DEMO, Process, agent, told

CAMERA: Final = "c4m/era+sécret%7vQ"
TOKEN: Final = "t0ken+sécret/Xw9"
ACCOUNT: Final = "br0ker@sécret/%2bZ"
WRONG: Final = "wr0ng#sécret:8kJ"
"""A password the broker does not take is one it takes elsewhere."""
KEY: Final = "s1gning/secret+" + "kY" * 16
SECRETS: Final = (CAMERA, TOKEN, ACCOUNT, WRONG, KEY)
DEVICE: Final = "demo"


def forms(secret: str) -> set[str]:
    """What gives a secret away: itself or a half of it, as it is, in an address, in JSON, or in base64."""
    middle = len(secret) // 2
    found: set[str] = set()
    for part in (secret, secret[:middle], secret[middle:]):
        found |= {part, quote(part), quote(part, safe=""), quote_plus(part), json.dumps(part)[1:-1]}
        for before in range(3):  # in base64 it looks another way behind one or two other characters
            text = bytes(before) + part.encode()
            shown = slice((before * 4 + 2) // 3, len(text) * 8 // 6)
            found |= {encode(text).decode()[shown] for encode in (base64.b64encode, base64.urlsafe_b64encode)}
    return found


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
        address = f"mqtt://{DEVICE}:{quote(ACCOUNT, safe='')}@127.0.0.1:{self.broker.port}"
        done = controller(*arguments, **({"EDGEPOSE_BROKER": address} | key | variables))
        self.told[" ".join(["controller", *arguments])] = done.stdout + done.stderr
        return done

    def run(self, *words: str, **variables: str) -> str:
        """Run a command of the agent to its end, with the configuration of the box; what it prints."""
        place = {"EDGEPOSE_MQTT__HOST": "127.0.0.1", "EDGEPOSE_MQTT__PORT": str(self.broker.port)}
        done = told(*words, **(self.variables | place | variables))
        said = "\n".join([*done.out, *done.errors])
        self.told[f"{len(self.told)} agent {' '.join(words)}"] = said
        return said


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
            "EDGEPOSE_CAMERA__SOURCE": f"{camera.url}?token={quote(TOKEN, safe='')}",
            "EDGEPOSE_CAMERA__LOSSLESS": "false",
            "EDGEPOSE_CAMERA__LOOP": "false",
            "EDGEPOSE_CAMERA__READ_TIMEOUT_S": "0.5",
            "EDGEPOSE_MQTT__USERNAME": DEVICE,
            "EDGEPOSE_MQTT__PASSWORD_FILE": str(folder / "password"),
            "EDGEPOSE_COMMANDS__KEY_FILE": str(folder / "key"),
            "EDGEPOSE_OUTPUT__SNAPSHOTS": "true",
            "EDGEPOSE_LOG__LEVEL": "debug",
            "EDGEPOSE_METRICS__WINDOW_S": "0.5",
            "EDGEPOSE_PROMETHEUS__PORT": str(free_port()),
        }
        with listener, agent(broker.port, EDGEPOSE_PROMETHEUS__ENABLED="true", **variables) as process:
            listener.wait(lambda seen: seen.topic == f"edgepose/{DEVICE}/keypoints", timeout_s=60)
            yield Box(process, broker, camera, listener, folder, variables)


def test_who_has_the_key_commands(box: Box) -> None:
    """The controller signs with the key of the file, to a device and to a glob, and is obeyed."""
    assert json.loads(box.controller("pause", DEVICE, "--json").stdout)["status"] == "succeeded"
    assert json.loads(box.controller("resume", "d*", "--json").stdout)["devices"][0]["status"] == "succeeded"
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
    """Log, state folder, every message, what controller, doctor and Prometheus print: no secret, in no form.

    The agent is asked for all it can tell, is refused by the broker, loses camera and broker, starts with what is
    wrong, and ends.
    """
    asked_for_all(box)
    refused_by_the_broker(box)
    box.camera.refuse()
    box.agent.wait_log("camera.lost")
    box.broker.kill()
    box.agent.wait_log("broker.lost")
    box.agent.popen.terminate()
    assert box.agent.end() == 0
    started_with_what_is_wrong(box)
    state = {str(path): path.read_bytes().decode(errors="replace") for path in files(box.folder / "state")}
    assert any(path.endswith(f"{DEVICE}.json") for path in state)
    messages = {
        f"{seen.topic} {number}": bytes(seen.payload).decode() for number, seen in enumerate(box.heard.messages)
    }
    assert any("/reply/" in name for name in messages)
    assert any("/job/" in name for name in messages)
    log = {"the log": "\n".join([*box.agent.errors, *box.agent.out])}
    everything = box.told | state | messages | log
    ways = {form for secret in SECRETS for form in forms(secret)}
    found = [(name, form) for name, text in everything.items() for form in ways if form in text]
    assert not found
    # The search would find them: what is no secret is there.
    assert any("127.0.0.1" in text for text in everything.values())
    leaks = [base64.b64encode(f"viewer:{CAMERA}".encode()).decode(), f"mqtt://a:{quote(ACCOUNT, safe='')}@b", KEY[20:]]
    assert all(any(form in leak for form in ways) for leak in leaks)


def asked_for_all(box: Box) -> None:
    """Everything that can be asked of a box, a benchmark that fails, and the doctor beside it."""
    box.controller("pause", DEVICE, signed=False)
    for words in (
        ["status", DEVICE],
        ["list"],
        ["describe", DEVICE],
        ["snapshot", DEVICE, "--out", str(box.folder / "p.jpg")],
        ["set-device", DEVICE, "GPU"],
        ["benchmark", DEVICE, "--runs", "1", "--frames", "10"],
        ["jobs", DEVICE],
    ):
        box.controller(*words, "--json")
    assert "record_from_camera" in "".join(box.told.values()), "the benchmark was not refused"
    port = box.variables["EDGEPOSE_PROMETHEUS__PORT"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        box.told["prometheus"] = answer.read().decode()
    box.run("doctor", "--json", "--config", str(DEMO))


def refused_by_the_broker(box: Box) -> None:
    """An agent, a doctor and a controller with a wrong password."""
    (box.folder / "wrong").write_text(f"{WRONG}\n")
    wrong = box.variables | {
        "EDGEPOSE_DEVICE_ID": "other",
        "EDGEPOSE_CAMERA__SOURCE": f"http://viewer:{quote(WRONG, safe='')}@127.0.0.1:{urlsplit(box.camera.url).port}/",
        "EDGEPOSE_MQTT__PASSWORD_FILE": "",
        "EDGEPOSE_MQTT__PASSWORD": WRONG,
    }
    with agent(box.broker.port, **wrong) as refused:
        refused.wait_log("broker.lost", lambda entry: "password" in str(entry))
        refused.wait_log("camera.lost")
        refused.popen.terminate()
        assert refused.end() == 0
    box.told["an agent with a wrong password"] = "\n".join([*refused.errors, *refused.out])
    box.run("doctor", "--json", "--config", str(DEMO), **wrong)
    for words in (["list", "--json"], ["pause", DEVICE, "--json"]):
        box.controller(*words, EDGEPOSE_BROKER=f"mqtt://{DEVICE}:{quote(WRONG, safe='')}@127.0.0.1:{box.broker.port}")
    for mistyped in ("\uff03", "[", "[x]", "#", "/", "?", ":", "@"):
        password = quote(WRONG[:8], safe="") + mistyped + quote(WRONG[8:], safe="")
        address = f"mqtt://{DEVICE}:{password}@127.0.0.1:{box.broker.port}"
        code, told = run_inside("list", "--broker", address)
        assert code in {2, 5}
        box.told[f"controller --broker with a {mistyped}"] = told


def started_with_what_is_wrong(box: Box) -> None:
    """Configurations in which everything is in the wrong place, and files that hold what they may not."""
    box.run("check-config", str(DEMO))
    box.run("schema")
    box.run("check-config", str(DEMO), EDGEPOSE_MQTT__PASSWORD=ACCOUNT, EDGEPOSE_CAMERA__WIDTH="-1")
    file = box.folder / "wrong.toml"
    file.write_text(
        f"""
device_id = "{DEVICE}:{ACCOUNT}@127.0.0.1"
groups = ["mqtt://{DEVICE}:{ACCOUNT}@127.0.0.1"]
[mqtt]
host = "{DEVICE}:{ACCOUNT}@127.0.0.1"
port = "mqtt://{DEVICE}:{ACCOUNT} x@127.0.0.1"
pasword = "{ACCOUNT}"
password = ["{ACCOUNT}"]
[camera]
rotate = "http://viewer:{CAMERA}@127.0.0.1/?token={TOKEN}"
roi = "http://viewer:{CAMERA}@127.0.0.1/?token={TOKEN}"
[commands]
key = "{KEY}"
"""
    )
    assert "mqtt.pasword" in box.run("check-config", str(file), EDGEPOSE_MQTT__PASSWROD=ACCOUNT)
    file.write_text(f'[mqtt]\npassword = "{ACCOUNT}\n')
    assert "not valid TOML" in box.run("check-config", str(file))
    source = f"http://viewer:{CAMERA} @127.0.0.1/?token={TOKEN}"
    assert "not a valid address" in box.run("run", "--config", str(DEMO), EDGEPOSE_CAMERA__SOURCE=source)
    (box.folder / "key").write_text(f"{KEY} with spaces\n")
    assert "commands.key_file" in box.run("run", "--config", str(DEMO))


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
