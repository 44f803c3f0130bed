"""What is wrong on a box that runs, and another network for it, without logging in."""

import json
from pathlib import Path

from agent.wire.commands import CheckResult, ErrorCode, Fetched, Job, JobStatus, LogsResult, ReplyStatus
from models.shelf.store import Store
from tests.broker import Broker
from tests.commander import Commander
from tests.system.conftest import TOPICS
from tests.system.process import agent

SECRETS = ("geheim77", "geheim78", "geheim79")
CAMERA = "rtsp://somebody:geheim77@127.0.0.1:9/1?pwd=geheim78"
VARIABLES = {
    "EDGEPOSE_CAMERA__SOURCE": CAMERA,
    "EDGEPOSE_CAMERA__LOOP": "false",
    "EDGEPOSE_MQTT__USERNAME": "demo",
    "EDGEPOSE_MQTT__PASSWORD": "geheim79",
}
NETWORK = "movenet-multipose"


def test_a_box_with_a_dead_camera_says_what_is_wrong(broker: Broker, store: Store, tmp_path: Path) -> None:
    """Findings and log name the camera and no password; a network is fetched by its name alone, or refused."""
    variables = {"EDGEPOSE_PATHS__STATE": str(tmp_path / "state"), **VARIABLES}
    with Commander(broker.port, TOPICS) as commander, agent(broker.port, **variables):
        commander.wait(lambda seen: seen.topic == TOPICS.event and b"camera.lost" in seen.payload, timeout_s=60)
        asked = [commander.send("check") for _ in range(2)]
        checked, again = (commander.reply(each, timeout_s=600) for each in asked)
        logged = commander.ask("logs", lines=1000)
        last = commander.ask("logs", lines=1)
        unknown = commander.ask("fetch", name="nobody-knows-it")
        begun = commander.ask("fetch", name=NETWORK)
        assert begun.result is not None
        job = str(begun.result["job"])
        commander.wait(
            lambda seen: seen.topic == TOPICS.job(job) and Job.decode(bytes(seen.payload)).status in Job.FINAL,
            timeout_s=600,  # it runs at the lowest priority
        )
        ended = Job.decode(commander.payloads(TOPICS.job(job))[-1])
        said = json.dumps([json.loads(each.payload) for each in commander.messages if each.payload[:1] == b"{"])
    checks = {each.name: each for each in CheckResult.model_validate(checked.result).checks}
    assert checked.result == again.result
    assert (checks["camera"].level, checks["broker"].level, checks["model"].level) == ("fail", "ok", "ok")
    assert "rtsp://127.0.0.1:9/1" in checks["camera"].finding
    lines = LogsResult.model_validate(logged.result).lines
    assert any("camera.lost" in line and "rtsp://127.0.0.1:9/1" in line for line in lines)
    assert len(LogsResult.model_validate(last.result).lines) == 1
    assert unknown.status is ReplyStatus.REJECTED
    assert unknown.error is not None
    assert unknown.error.code is ErrorCode.UNKNOWN_MODEL
    fetched = Fetched.model_validate(ended.result)
    assert (ended.status, fetched.fetched) == (JobStatus.SUCCEEDED, False)
    assert fetched.checksums == store.manifest(NETWORK).sources
    assert str(store.folder) not in json.dumps(ended.result)
    assert not [secret for secret in SECRETS if secret in said]
