"""Promises of an agent on the real GPU plugin: commands, broken ones, kills and restarts, and a study of devices."""

import json
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import cv2
import pytest

from agent.wire.commands import ErrorCode, Job, JobStatus, Reply, ReplyStatus, SwitchResult
from agent.wire.messages import Effective, Event, State, Status
from agent.wire.topics import Topics
from models.shelf.store import Store
from tests.broker import Broker
from tests.commander import Commander
from tests.footage import clip_frames
from tests.system.process import BIN, DEMO, Process, agent
from tests.system.small import variables
from tests.system.study_faults import BRIEF
from tests.system.test_broken_requests import BROKEN, Untouched, failure, state

TOPICS: Final = Topics("demo")
ANSWER_S: Final = 100.0
"""The kernels of a small network are compiled in less, cold and on a busy machine."""
KILLED_AFTER_S: Final = (0.0, 0.3, 1.5)
SWEEP: Final[dict[str, Any]] = {
    "devices": ("CPU", "GPU", "MULTI:GPU,CPU", "HETERO:GPU,CPU"),
    "precisions": ("FP32",),
    "affinities": ("fallback",),
    "baseline_runs": 0,
    "runs": 1,
    "frames": 10,
}


SMALL: Final = """
import agent.inference.peak
agent.inference.peak.CHANNELS = 16
"""
"""The convolutions that tell what a device could do at best take minutes where it is a processor in disguise."""


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One network that works, and those that do not."""
    folder = tmp_path_factory.mktemp("networks")
    for install in BROKEN.values():
        install(folder)
    return folder


@pytest.fixture(scope="module")
def pictures(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten frames of the clip, as a folder of images."""
    folder = tmp_path_factory.mktemp("frames")
    for frame in clip_frames(store, range(10)):
        cv2.imwrite(str(folder / f"{frame.seq:03}.jpg"), frame.image)
    return folder


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


class Box:
    """An agent under an id of its own that is started, ended and started again in the same folder."""

    def __init__(self, broker: Broker, given: dict[str, str], folder: Path) -> None:
        self.topics = Topics(f"box-{uuid.uuid4().hex[:8]}")
        self._port = broker.port
        self._given = given | {
            "EDGEPOSE_PATHS__STATE": str(folder),
            "EDGEPOSE_INFERENCE__DEVICE": "CPU",
            "EDGEPOSE_DEVICE_ID": self.topics.device_id,
        }

    def start(self, commander: Commander) -> Process:
        """Start it, and wait until it runs: what one before it has said is forgotten."""
        commander.messages.clear()
        process = agent(self._port, **self._given).__enter__()
        commander.wait(self._runs, timeout_s=ANSWER_S)
        return process

    @staticmethod
    def end(process: Process, how: signal.Signals) -> None:
        process.signal(how)
        process.end()
        process.__exit__(None, None, None)

    def _runs(self, seen: Any) -> bool:
        return seen.topic == self.topics.state and State.decode(bytes(seen.payload)).status is Status.RUNNING


@pytest.fixture(scope="module")
def given(networks: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of all these agents: one cache."""
    return variables(networks, pictures, tmp_path_factory.mktemp("agent"))


@pytest.fixture(scope="module")
def running(broker: Broker, given: dict[str, str]) -> Iterator[Commander]:
    """An agent on the card."""
    with Commander(broker.port, TOPICS) as commander, agent(broker.port, **given, EDGEPOSE_INFERENCE__DEVICE="GPU"):
        commander.wait(lambda seen: seen.topic == TOPICS.keypoints, timeout_s=ANSWER_S)
        yield commander


def switched(reply: Reply) -> SwitchResult:
    assert reply.status is ReplyStatus.SUCCEEDED, reply
    return SwitchResult.model_validate_json(json.dumps(reply.result))


def ask(commander: Commander, name: str, **args: Any) -> SwitchResult:
    return switched(commander.ask(name, timeout_s=ANSWER_S, **args))


def test_commands_of_a_day(running: Commander) -> None:
    """Devices, placements and hints one after the other, without a lost frame: what runs is what was asked for."""
    asked: list[tuple[str, dict[str, Any], set[str]]] = [
        ("set-device", {"device": "hetero:gpu.0,cpu"}, {"GPU"}),
        ("set-affinity", {"preset": "convolutions"}, {"GPU", "CPU"}),
        ("set-device", {"device": "MULTI:GPU,CPU"}, {"GPU", "CPU"}),
        ("set-hint", {"hint": "throughput", "streams": 1}, {"GPU", "CPU"}),
        ("set-device", {"device": "AUTO:-GPU"}, {"CPU"}),
        ("set-device", {"device": "GPU"}, {"GPU"}),
        ("set-hint", {"hint": "latency"}, {"GPU"}),
    ]
    for name, args, devices in asked:
        result = ask(running, name, **args)
        assert set(result.effective.execution_devices) == devices, (name, args)
        assert result.frames_lost == 0
        if "preset" in args:
            assert result.plan is not None
            assert result.effective.submodels == result.plan["submodels"]


def test_a_split_tells_what_it_measures(running: Commander) -> None:
    """What is measured is told while it is; asked again, nothing is measured any more."""
    ask(running, "set-device", device="HETERO:GPU,CPU")
    told = []
    for _ in range(2):
        command = running.send("set-affinity", preset="split")
        result = switched(running.reply(command, ANSWER_S))
        assert result.plan is not None
        events = [Event.decode(payload) for payload in running.payloads(TOPICS.event)]
        told.append([e for e in events if e.code == "switch.progress" and e.facts.get("id") == command])
    first, second = told
    assert [event.facts["percent"] for event in first] == [0, 20, 40, 60, 80]
    assert "for GPU alone" in first[0].message
    assert second == []
    ask(running, "set-device", device="GPU")


@pytest.mark.parametrize("device", ["GPU.1", "MULTI:GPU.1,CPU", "NOPE"])
def test_a_device_that_is_not_there(running: Commander, device: str) -> None:
    """It is refused by name, and the card goes on."""
    code = ErrorCode.UNKNOWN_DEVICE if device == "NOPE" else ErrorCode.UNAVAILABLE_DEVICE
    with Untouched(running):
        _told, cure = failure(running.ask("set-device", device=device), ReplyStatus.REJECTED, code)
    assert "devices here: CPU, GPU" in cure


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("tiny-missing", ErrorCode.COMPILE_FAILED),
        ("tiny-truncated", ErrorCode.COMPILE_FAILED),
        ("tiny-short", ErrorCode.COMPILE_FAILED),
        ("tiny-misshapen", ErrorCode.TRIAL_FAILED),
        ("tiny-nan", ErrorCode.TRIAL_FAILED),
    ],
)
def test_a_network_that_does_not_work(running: Commander, model: str, code: ErrorCode) -> None:
    """The reply says at which step it failed, and the card computes every frame as before."""
    with Untouched(running):
        reply = running.ask("set-model", timeout_s=ANSWER_S, model=model)
        failure(reply, ReplyStatus.FAILED, code)


@pytest.mark.timeout(300)
def test_a_study_of_devices_and_its_report(broker: Broker, given: dict[str, str], tmp_path: Path) -> None:
    """Every row is measured, on the devices it names, and the report tells them."""
    topics = Topics("study")
    mine = {"EDGEPOSE_DEVICE_ID": topics.device_id, "EDGEPOSE_MQTT__PORT": str(broker.port)}
    mine |= {"EDGEPOSE_MQTT__HOST": "127.0.0.1", "EDGEPOSE_PATHS__STATE": str(tmp_path)}
    command: list[str | Path] = [sys.executable, "-c", BRIEF.format(also=SMALL), "run", "--config", DEMO]
    with Commander(broker.port, topics) as commander, Process(command, **given | mine):
        commander.wait(lambda seen: seen.topic == topics.keypoints, timeout_s=ANSWER_S)
        reply = commander.ask("sweep", **SWEEP)
        assert reply.status is ReplyStatus.ACCEPTED, reply
        assert reply.result is not None
        topic = topics.job(str(reply.result["job"]))

        def ended(seen: Any) -> bool:
            return seen.topic == topic and Job.decode(bytes(seen.payload)).status in Job.FINAL

        job = Job.decode(bytes(commander.wait(ended, timeout_s=250).payload))
    assert (job.status, job.error) == (JobStatus.SUCCEEDED, None)
    assert job.result is not None
    rows: Any = job.result["rows"]
    found = {row["recipe"]["device"]: row for row in rows}
    assert list(found) == list(SWEEP["devices"])
    assert {row["status"] for row in rows} == {"measured"}, [row["reason"] for row in rows]
    devices = {device: set(row["effective"]["execution_devices"]) for device, row in found.items()}
    assert devices == {"CPU": {"CPU"}, "GPU": {"GPU"}, "MULTI:GPU,CPU": {"GPU", "CPU"}, "HETERO:GPU,CPU": {"GPU"}}
    study = tmp_path / "study.json"
    study.write_text(json.dumps(job.result), encoding="utf-8")
    report = subprocess.run([BIN / "controller", "report", study], capture_output=True, text=True, check=False)
    assert report.returncode == 0, report.stderr
    assert all(device in report.stdout for device in SWEEP["devices"])


@pytest.fixture
def box(broker: Broker, given: dict[str, str], tmp_path: Path) -> Box:
    """A box that remembers, in a folder of its own, with the others' cache."""
    return Box(broker, given, tmp_path)


def effective(commander: Commander) -> Effective:
    found = state(commander).effective
    assert found is not None
    return found


def test_a_restart_comes_back_to_hetero_from_the_cache(box: Box, broker: Broker) -> None:
    """In the same pieces, on the same devices, in the same precision, with as many requests."""
    with Commander(broker.port, box.topics) as commander:
        process = box.start(commander)
        ask(commander, "set-device", device="HETERO:GPU,CPU")
        half = {"match": {"first": 0.5}, "device": "GPU"}
        before = ask(commander, "set-affinity", rules=[half], default="CPU").effective
        box.end(process, signal.SIGTERM)
        process = box.start(commander)
        after = effective(commander)
        box.end(process, signal.SIGTERM)
    assert after.from_cache
    assert set(after.execution_devices) == {"GPU", "CPU"}
    changed = {"compile_ms", "first_infer_ms", "from_cache", "engine"}
    assert after.model_dump(exclude=changed) == before.model_dump(exclude=changed)


@pytest.mark.timeout(300)
def test_kills_around_a_switch_to_the_card(box: Box, broker: Broker) -> None:
    """After kill -9 the old settings run or the new; who asks again under the same id gets an answer, done once."""
    device = "CPU"
    with Commander(broker.port, box.topics) as commander:
        process = box.start(commander)
        for number, after_s in enumerate(KILLED_AFTER_S):
            wanted = "GPU" if device == "CPU" else "CPU"
            version = state(commander).version
            command = commander.send("set-device", f"kill-{number}", device=wanted)
            try:
                reply = commander.reply(command, timeout_s=after_s) if after_s else None
            except AssertionError:
                reply = None
            box.end(process, signal.SIGKILL)
            process = box.start(commander)
            now = state(commander)
            assert (now.requested.device, now.version) in {(device, version), (wanted, version + 1)}
            if reply is not None:
                assert now.requested.device == wanted
            again = commander.reply(commander.send("set-device", command, device=wanted), ANSWER_S)
            assert again.status in {ReplyStatus.SUCCEEDED, ReplyStatus.FAILED, ReplyStatus.CANCELLED}
            assert state(commander).version <= version + 1
            device = state(commander).requested.device
        box.end(process, signal.SIGTERM)


def test_a_kernel_that_never_ends_is_told_and_ends_the_agent(
    broker: Broker, networks: Path, pictures: Path, tmp_path: Path
) -> None:
    """The card stops answering amid a run: the agent says so itself, is degraded, and ends with an error."""
    topics, wish = Topics(f"box-{uuid.uuid4().hex[:8]}"), tmp_path / "hang"
    given = variables(networks, pictures, tmp_path) | {
        "EDGEPOSE_DEVICE_ID": topics.device_id,
        "EDGEPOSE_INFERENCE__DEVICE": "GPU",
        "EDGEPOSE_INFERENCE__HANG_TIMEOUT_S": "4",
        "FAKEGPU_HANG": str(wish),
    }
    with Commander(broker.port, topics) as commander, agent(broker.port, **given) as process:
        commander.wait(lambda seen: seen.topic == topics.keypoints, timeout_s=ANSWER_S)
        wish.touch()
        hung = commander.wait(lambda seen: b'"engine.hung"' in seen.payload, timeout_s=60)
        assert Event.decode(bytes(hung.payload)).facts["device"] == "GPU"
        commander.wait(lambda seen: seen.topic == topics.state and b'"degraded"' in seen.payload, timeout_s=30)
        assert process.end(60) == 1
    assert "GPU has not answered" in process.wait_log("agent.failed")["error"]
