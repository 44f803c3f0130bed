"""Requests that cannot work, each broken in its own way: the agent says so and goes on as if nothing had been asked."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.wire.commands import ErrorCode, Reply, ReplyStatus, SwitchResult
from agent.wire.messages import Event, Keypoints, State, Status
from agent.wire.topics import Topics
from tests import broken_networks
from tests.broker import Broker
from tests.commander import Commander
from tests.system.conftest import TOPICS
from tests.system.process import Process, agent
from tests.system.small import variables

BROKEN: dict[str, Callable[[Path], str]] = {
    "tiny-sound": broken_networks.sound,
    "tiny-missing": broken_networks.without_file,
    "tiny-truncated": broken_networks.truncated,
    "tiny-short": broken_networks.truncated_as_listed,
    "tiny-misshapen": broken_networks.misshapen,
    "tiny-nan": broken_networks.nan,
    "tiny-slow": broken_networks.slow,
}
FRAMES_AFTER = 3
"""So many results of the old engine are waited for after a reply."""


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One network that works, which the agent runs, and those that do not."""
    folder = tmp_path_factory.mktemp("networks")
    for name, install in BROKEN.items():
        assert install(folder) == name
    return folder


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("agent")


@pytest.fixture(scope="module")
def running(broker: Broker, networks: Path, ten_frames: Path, folder: Path) -> Iterator[tuple[Process, Commander]]:
    """An agent on a feed that loses nothing."""
    with (
        Commander(broker.port, TOPICS) as commander,
        agent(broker.port, **variables(networks, ten_frames, folder)) as process,
    ):
        commander.wait(lambda seen: seen.topic == TOPICS.keypoints, timeout_s=60)
        yield process, commander


def results(commander: Commander) -> list[Keypoints]:
    return [Keypoints.decode(payload) for payload in commander.payloads(commander.topics.keypoints)]


def state(commander: Commander) -> State:
    """How the agent says it is, once it says that it runs."""

    def last() -> State:
        return State.decode(commander.payloads(commander.topics.state)[-1])

    commander.wait(lambda _: last().status is Status.RUNNING)
    return last()


def wait_for_results(commander: Commander, more: int) -> None:
    topic = commander.topics.keypoints
    count = len(commander.payloads(topic)) + more
    commander.wait(lambda seen: seen.topic == topic and len(commander.payloads(topic)) >= count)


class Untouched:
    """Around a request: the old engine computes every frame, and the state is what it was."""

    def __init__(self, commander: Commander) -> None:
        self._commander = commander

    def __enter__(self) -> None:
        self._before = state(self._commander)
        self._seen = len(results(self._commander)) - 1

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            return
        wait_for_results(self._commander, FRAMES_AFTER)
        after, meanwhile = state(self._commander), results(self._commander)[self._seen :]
        before = self._before
        assert (after.version, after.requested, after.effective) == (before.version, before.requested, before.effective)
        numbers = [result.seq for result in meanwhile]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "a frame is missing"
        assert before.effective is not None
        assert {result.engine for result in meanwhile} == {before.effective.engine}


def failure(reply: Reply, status: ReplyStatus, code: ErrorCode) -> tuple[str, str]:
    """Check that it failed like this; what it says: what is wrong, and the cure."""
    assert reply.error is not None, reply
    assert (reply.status, reply.error.code, reply.result) == (status, code, None)
    return reply.error.message, reply.error.hint


@pytest.mark.parametrize(
    ("device", "code", "what"),
    [
        ("NOPE", ErrorCode.UNKNOWN_DEVICE, "NOPE, which is no device"),
        ("GPU.7", ErrorCode.UNAVAILABLE_DEVICE, "this box has no GPU.7"),
        ("AUTO:NOPE,CPU", ErrorCode.UNKNOWN_DEVICE, "AUTO:NOPE,CPU names NOPE"),
    ],
)
def test_a_device_that_is_not_there(
    running: tuple[Process, Commander], device: str, code: ErrorCode, what: str
) -> None:
    """It is refused with the devices there are, before OpenVINO, which would take some of these, hears of it."""
    _process, commander = running
    with Untouched(commander):
        told, cure = failure(commander.ask("set-device", device=device), ReplyStatus.REJECTED, code)
    assert what in told
    assert "devices here: CPU, SIMCPU" in cure


@pytest.mark.parametrize(
    ("model", "code", "what", "cure"),
    [
        ("tiny-missing", ErrorCode.COMPILE_FAILED, "tiny-missing.xml is missing", "models add"),
        ("tiny-truncated", ErrorCode.COMPILE_FAILED, "tiny-truncated.bin is damaged", "models add"),
        ("tiny-short", ErrorCode.COMPILE_FAILED, "cannot run tiny-short at FP32", "another device"),
        ("tiny-misshapen", ErrorCode.TRIAL_FAILED, "keypoint_heatmap is (1, 16, 16, 16)", "do not belong together"),
        ("tiny-nan", ErrorCode.TRIAL_FAILED, "not finite", "another device"),
    ],
)
def test_a_network_that_does_not_work(
    running: tuple[Process, Commander], model: str, code: ErrorCode, what: str, cure: str
) -> None:
    """The reply says at which step it failed, why, and what helps; an event tells everybody else."""
    _process, commander = running
    with Untouched(commander):
        command_id = commander.send("set-model", model=model)
        told, hint = failure(commander.reply(command_id), ReplyStatus.FAILED, code)
    assert what in told
    assert cure in hint
    happened = [Event.decode(payload) for payload in commander.payloads(commander.topics.event)]
    assert [event.message for event in happened if event.facts.get("id") == command_id][1:] == [told]


def test_a_compilation_beyond_the_time_limit(broker: Broker, networks: Path, ten_frames: Path, tmp_path: Path) -> None:
    """It is given up with the limit named; until it ends by itself others are busy, and then the way is free."""
    topics = Topics("late")
    given = variables(networks, ten_frames, tmp_path)
    given |= {"EDGEPOSE_SWITCH__TIMEOUT_S": "0.25", "EDGEPOSE_DEVICE_ID": topics.device_id}
    with Commander(broker.port, topics) as commander, agent(broker.port, **given):
        commander.wait(lambda seen: seen.topic == topics.keypoints, timeout_s=60)
        with Untouched(commander):
            reply = commander.ask("set-model", model="tiny-slow")
            told, cure = failure(reply, ReplyStatus.TIMED_OUT, ErrorCode.COMPILE_FAILED)
            assert "within 0.25 s (switch.timeout_s)" in told
            assert "allow more time" in cure
            told, cure = failure(commander.ask("set-hint", hint="latency"), ReplyStatus.REJECTED, ErrorCode.BUSY)
            assert re.match(r"the compilation of set-model \(CPU\) was given up \d+ s ago and still runs", told)
            assert "ask again once it has ended" in cure
        while (free := commander.ask("set-hint", hint="latency")).status is ReplyStatus.REJECTED:
            failure(free, ReplyStatus.REJECTED, ErrorCode.BUSY)
            wait_for_results(commander, FRAMES_AFTER)
        assert free.status in {
            ReplyStatus.SUCCEEDED,
            ReplyStatus.TIMED_OUT,
        }  # a quarter of a second may be short for any


def test_a_damaged_blob_of_the_cache_is_noticed_and_made_again(
    running: tuple[Process, Commander], folder: Path
) -> None:
    """OpenVINO would run it and see other people: it is thrown away, the network compiled anew, and kept again."""
    process, commander = running
    for device in ("SIMCPU", "CPU"):
        assert commander.ask("set-device", device=device).status is ReplyStatus.SUCCEEDED
    assert from_cache(commander.ask("set-device", device="SIMCPU")), "it is not cached at all"
    assert from_cache(commander.ask("set-device", device="CPU"))
    blobs = sorted((folder / "cache").rglob("*.blob"))
    assert blobs
    for blob in blobs:
        content = bytearray(blob.read_bytes())
        content[len(content) // 2] ^= 0xFF
        blob.write_bytes(content)
    assert not from_cache(commander.ask("set-device", device="SIMCPU"))
    process.wait_log("cache.damaged")
    assert not from_cache(commander.ask("set-device", device="CPU"))
    assert from_cache(commander.ask("set-device", device="SIMCPU")), "it was not kept again"


def from_cache(reply: Reply) -> bool:
    assert reply.status is ReplyStatus.SUCCEEDED, reply
    return SwitchResult.model_validate_json(json.dumps(reply.result)).effective.from_cache
