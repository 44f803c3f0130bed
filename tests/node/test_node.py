"""AsyncAPI's parser finds no fault, and the flow does in Node-RED what it says."""

import json
import shutil
import urllib.request
from pathlib import Path
from typing import Any

from agent.wire.codec import decode
from agent.wire.commands import Incoming, SetPaused
from agent.wire.topics import Topics
from tests.broker import Broker, free_port
from tests.commander import Commander
from tests.dashboard import boxes
from tests.node.rig import HERE
from tests.system.process import Process, finished

ROOT = Path(__file__).parents[2]
TOPICS = Topics("gym-01")


def asked(address: str, data: bytes | None = None) -> Any:
    request = urllib.request.Request(address, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def test_asyncapis_parser_finds_no_fault(packages: Path) -> None:
    """The document that is shipped is read by the reference implementation, without an error or a warning."""
    document = ROOT / "configs" / "contract" / "asyncapi.json"
    done = finished("node", HERE / "parse.mjs", packages / "package.json", document)
    said = json.loads(done.out[-1])
    assert said["faults"] == []
    assert said["channels"] == len(json.loads(document.read_text(encoding="utf-8"))["channels"])


def test_the_flow_counts_people_and_pauses(packages: Path, tmp_path: Path) -> None:
    """Node-RED with nothing but its own nodes tells who is in view over HTTP, and its command is one a box obeys."""
    shutil.copy(ROOT / "configs" / "node-red" / "flows.json", tmp_path)
    port = free_port()
    red = packages / "node_modules" / "node-red" / "red.js"
    settings = ["-D", "uiHost=127.0.0.1", "-u", str(tmp_path), "-p", str(port), str(tmp_path / "flows.json")]
    with Broker(tmp_path) as broker, Commander(broker.port, TOPICS) as commander:
        boxes.appear(broker.port, "gym-01")
        with Process(["node", red, *settings], MQTT_HOST="127.0.0.1", MQTT_PORT=str(broker.port)) as process:
            process.wait_out("Connected to broker")
            address = f"http://127.0.0.1:{port}"
            for _ in range(100):
                commander.client.publish(TOPICS.metrics, boxes.metrics("gym-01").encode(), 1).wait_for_publish(10)
                if people := asked(f"{address}/people"):
                    break
            assert people == {"gym-01": 2.4}
            asked(f"{address}/paused/gym-01", b'{"paused": true}')
            came = commander.wait(lambda seen: seen.topic == TOPICS.command("set-paused"))
            command = decode(Incoming(came.topic, bytes(came.payload), came.retain, boxes.now()), TOPICS)
            assert command.args == SetPaused(paused=True)
