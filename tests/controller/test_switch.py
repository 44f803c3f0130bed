"""Commands to one device, answered by a responder that stands for its agent."""

import json
import re
from pathlib import Path

import pytest

from agent.wire.commands import COMMAND_BYTES_MAX, ErrorCode, Reply, ReplyError, ReplyStatus
from agent.wire.topics import Topics
from tests.broker import Broker, publish
from tests.controller.conftest import controller, run_inside
from tests.controller.responder import (
    Asked,
    Responder,
    failure,
    plan,
    put_member,
    rejection,
    reply,
    switch,
    switched,
)

SWITCHES = [
    (["set-device", "gym-1", "hetero: simcpu,cpu"], {"device": "HETERO:SIMCPU,CPU"}),
    (["set-device", "gym-1", "gpu", "--detector", "cpu"], {"device": "GPU", "detector": "CPU"}),
    (["set-precision", "gym-1", "int8"], {"precision": "INT8"}),
    (["set-model", "gym-1", "movenet-multipose"], {"model": "movenet-multipose"}),
    (["set-affinity", "gym-1", "--preset", "split"], {"preset": "split"}),
    (
        ["set-affinity", "gym-1", "--rule", "first=0.6:simcpu", "--rule", "name=a:b=c:CPU", "--default", "cpu"],
        {
            "rules": [
                {"match": {"first": 0.6}, "device": "SIMCPU"},
                {"match": {"name": "a:b=c"}, "device": "CPU"},
            ],
            "default": "CPU",
        },
    ),
    (["set-hint", "gym-1", "throughput", "--streams", "4"], {"hint": "throughput", "streams": 4}),
    (["set-input", "gym-1", "--long-side", "512"], {"long_side": 512}),
    (["set-input", "gym-1"], {"long_side": None}),
    (["pause", "gym-1"], {}),
    (["resume", "gym-1"], {}),
    (["cancel", "gym-1", "quantize-1"], {"id": "quantize-1"}),
]


def address(broker: Broker) -> list[str]:
    return ["--broker", f"127.0.0.1:{broker.port}"]


@pytest.mark.parametrize(("words", "args"), SWITCHES, ids=lambda value: value[0] if isinstance(value, list) else "")
def test_the_request_is_as_the_contract_says(broker: Broker, words: list[str], args: dict[str, object]) -> None:
    """Each command goes out once, not retained, with QoS 1, response topic, correlation, expiry and its arguments."""
    with Responder(broker.port, "gym-1", switched("gym-1")) as box:
        assert run_inside(*words, "--json", "--if-version", "3", *address(broker)) == (0, "")
        asked = box.request()
    assert asked.topic == Topics("gym-1").command(words[0])
    assert (asked.qos, asked.retained) == (1, False)
    assert re.fullmatch(r"edgepose/gym-1/reply/[0-9a-z]{1,23}", asked.response_topic)
    assert asked.body == {"id": asked.id, "reply_to": asked.response_topic, "if_version": 3, "args": args}
    assert asked.correlation == asked.id.encode()
    assert asked.expiry_s == (5 if words[0] in {"pause", "resume", "cancel"} else 150)
    assert box.asked.empty()


def test_the_reply_is_printed_as_it_stood_on_the_wire(broker: Broker) -> None:
    """--json prints one object, the device's own reply, and nothing else."""
    with Responder(broker.port, "gym-1", switched("gym-1")) as box:
        done = controller("set-device", "gym-1", "CPU", "--json", *address(broker))
        asked = box.request()
    expected = reply("gym-1", asked, result=switch().model_dump(mode="json"))
    assert (done.returncode, done.stderr) == (0, "")
    assert Reply.decode(done.stdout.encode()) == expected


def test_a_switch_as_a_page(broker: Broker) -> None:
    """A person sees before, after and ratio, requested beside effective, what it cost, agreement and plan."""
    with Responder(broker.port, "gym-1", switched("gym-1")):
        done = controller("set-affinity", "gym-1", "--preset", "split", *address(broker))
    rows = [re.split(r"\s{2,}", line.strip()) for line in done.stdout.splitlines() if line.strip()]
    assert (done.returncode, done.stderr) == (0, "")
    for row in (
        ["gym-1: set-affinity succeeded, state version 7"],
        ["before", "after", "ratio"],
        ["fps", "20.0", "30.0", "1.50"],
        ["latency ms", "40.0", "10.0", "0.25"],
        ["requested", "effective"],
        ["device", "HETERO:SIMCPU,CPU", "SIMCPU, CPU"],
        ["precision", "INT8", "INT8 file, computed in F32"],
        ["affinity", "split", "3 submodels"],
        ["requests", "2"],
        ["compile", "812.4 ms (from the cache)"],
        ["first inference", "14.2 ms"],
        ["gap", "31.5 ms"],
        ["frames lost", "2"],
        ["people of FP32", "127 on 40 frames"],
        ["missed", "3 (2.4%)"],
        ["mean OKS", "0.951"],
        ["operations", "SIMCPU 120, CPU 34"],
    ):
        assert row in rows


def test_unknown_figures_are_dashes(broker: Broker) -> None:
    """Where no frame came nothing is invented: no rate, no ratio, no gap."""
    silent = switch().model_dump(mode="json") | {
        "before": {"fps": None, "latency": None},
        "gap_ms": None,
        "agreement": None,
        "plan": None,
    }
    with Responder(broker.port, "gym-1", lambda asked: [reply("gym-1", asked, result=silent)]):
        done = controller("set-device", "gym-1", "CPU", *address(broker))
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["fps", "-", "30.0", "-"] in rows
    assert ["gap", "unknown:", "no", "frame", "came"] in rows
    assert "people of FP32" not in done.stdout


def test_a_plan_as_a_page_and_as_a_picture(broker: Broker) -> None:
    """A plan names operations, pieces, bytes, the expected time and the biggest crossings; --mermaid is text alone."""
    with Responder(
        broker.port, "gym-1", lambda asked: [reply("gym-1", asked, result=plan().model_dump(mode="json"))]
    ) as box:
        page = controller("plan-affinity", "gym-1", "--preset", "split", *address(broker))
        picture = controller("plan-affinity", "gym-1", "--preset", "split", "--mermaid", *address(broker))
        assert "if_version" not in box.request().body
    rows = [re.split(r"\s{2,}", line.strip()) for line in page.stdout.splitlines() if line.strip()]
    for row in (
        ["operations", "SIMCPU 120, CPU 34"],
        ["submodels", "3"],
        ["bytes moved", "28,000 a frame over 7 boundaries"],
        ["placed elsewhere", "TopK 2: the device of their rule cannot run them"],
        ["expected", "12.34 ms a frame, 0.50 of it crossing"],
        ["each alone", "SIMCPU 14.00 ms, CPU 15.00 ms"],
        ["biggest crossings", "SIMCPU -> CPU", "7,000 bytes", "block_7/relu"],
        ["SIMCPU -> CPU", "3,000 bytes", "block_3/relu"],
    ):
        assert row in rows
    assert "block_2/relu" not in page.stdout
    assert (picture.returncode, picture.stdout) == (0, plan().mermaid + "\n")


def test_a_refusal_and_a_failure(broker: Broker) -> None:
    """Refused is exit 4 and failed is exit 1, each with code, cause and cure; --json has the whole reply."""

    def answers(asked: Asked) -> list[Reply]:
        return [(rejection if asked.name == "set-device" else failure)("gym-1", asked)]

    with Responder(broker.port, "gym-1", answers):
        rejected = controller("set-device", "gym-1", "NPU", *address(broker))
        failed = controller("set-precision", "gym-1", "INT8", *address(broker))
        as_json = controller("set-precision", "gym-1", "INT8", "--json", *address(broker))
    assert (rejected.returncode, rejected.stdout) == (4, "")
    assert "gym-1: rejected: unavailable_device: this box has no NPU" in rejected.stderr
    assert "Hint: devices here: CPU, SIMCPU" in rejected.stderr
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "gym-1: failed: accuracy_failed: 9 of 127 people missed" in failed.stderr
    assert (as_json.returncode, as_json.stderr) == (1, "")
    assert json.loads(as_json.stdout)["error"]["code"] == "accuracy_failed"


def test_silence_is_named(broker: Broker) -> None:
    """A device that does not answer in time: exit 3, its id, how long; with --json in the same keys as a reply."""
    with Responder(broker.port, "gym-1", lambda _: []):
        done = controller("pause", "gym-1", "--timeout", "1", *address(broker))
        as_json = controller("pause", "gym-1", "--timeout", "1", "--json", *address(broker))
    assert (done.returncode, done.stdout) == (3, "")
    assert "gym-1: no answer within 1 s" in done.stderr
    found = json.loads(as_json.stdout)
    assert as_json.returncode == 3
    assert (found["device_id"], found["status"], found["error"]["code"]) == ("gym-1", "no_answer", "no_answer")


def test_what_is_not_the_reply_is_skipped(broker: Broker) -> None:
    """Garbage, replies to other commands and of other devices, and repeats are not taken for the answer."""

    def answers(asked: Asked) -> list[Reply | bytes]:
        good = reply("gym-1", asked)
        return [
            b"\xff garbage",
            b"",
            good.model_copy(update={"device_id": "gym-2", "state_version": 1}),
            good.model_copy(update={"state_version": 2}),
            good.model_copy(update={"state_version": 3}),
        ]

    with Responder(broker.port, "gym-1", answers):
        done = controller("pause", "gym-1", "--json", *address(broker))
    assert (done.returncode, json.loads(done.stdout)["state_version"]) == (0, 2)
    warnings = done.stderr.splitlines()
    assert all(line.startswith("Warning: edgepose/gym-1/reply/") for line in warnings)
    assert [re.split("ignored: ", line)[1].partition(":")[0] for line in warnings] == ["body", "body", "device_id"]


def test_the_correlation_decides(broker: Broker) -> None:
    """A reply is ours by its correlation data, and by its id where a bridge has dropped that."""

    def answers(asked: Asked) -> list[Reply]:
        topic = Topics("gym-1").reply(asked.response_topic.rpartition("/")[2])
        publish(broker.port, topic, reply("gym-1", asked).model_copy(update={"id": "of another"}).encode())
        publish(broker.port, topic, reply("gym-1", asked).encode())
        return []

    with Responder(broker.port, "gym-1", answers):
        done = controller("pause", "gym-1", *address(broker))
    assert done.returncode == 0
    assert "it answers another command" in done.stderr


def test_not_waiting(broker: Broker) -> None:
    """--no-wait returns when the broker has the command, and tells the id to ask for it by."""
    with Responder(broker.port, "gym-1", lambda _: []) as box:
        done = controller("set-device", "gym-1", "CPU", "--no-wait", *address(broker))
        asked = box.request()
        as_json = controller("set-device", "gym-1", "CPU", "--no-wait", "--json", *address(broker))
    assert (done.returncode, done.stdout) == (0, f"gym-1: set-device sent, id {asked.id}\n")
    assert json.loads(as_json.stdout)["status"] == "sent"


def test_offline_and_unknown_devices(broker: Broker) -> None:
    """Nothing is sent to a device that is not there: exit 3, which says why."""
    put_member(broker.port, "gym-1", availability=b"offline")
    offline = controller("pause", "gym-1", *address(broker))
    unknown = controller("pause", "gym-2", *address(broker))
    assert (offline.returncode, unknown.returncode) == (3, 3)
    assert "gym-1: offline, not sent" in offline.stderr
    assert "did you mean gym-1?" in unknown.stderr


def test_hostile_text_is_shown_not_obeyed(broker: Broker) -> None:
    """Escape sequences in what a device answers do not reach the terminal."""

    def answers(asked: Asked) -> list[Reply]:
        evil = "\x1b]0;owned\x07"
        rejected = rejection("gym-1", asked)
        assert rejected.error is not None
        error = rejected.error.model_copy(update={"message": evil, "hint": evil})
        if asked.name == "pause":
            return [rejected.model_copy(update={"error": error})]
        return [reply("gym-1", asked, result={evil: evil})]

    with Responder(broker.port, "gym-1", answers):
        refused = controller("pause", "gym-1", *address(broker))
        done = controller("resume", "gym-1", *address(broker))
    assert "�]0;owned�" in refused.stderr
    assert "�]0;owned�" in done.stdout
    assert "\x1b" not in refused.stderr + done.stdout


def test_rules_from_a_file(broker: Broker, tmp_path: Path) -> None:
    """A file of rules is sent as it stands; one that is none is wrong usage, with the place of the fault."""
    file = tmp_path / "rules.json"
    rules = {"rules": [{"match": {"type": "Convolution"}, "device": "SIMCPU"}], "default": "CPU"}
    file.write_text(json.dumps(rules))
    with Responder(broker.port, "gym-1", switched("gym-1")) as box:
        assert controller("set-affinity", "gym-1", "--file", str(file), *address(broker)).returncode == 0
        assert box.request().body["args"] == rules
        file.write_text('{"rules": [{"match": {}, "device": "CPU"}]}')
        done = controller("set-affinity", "gym-1", "--file", str(file), *address(broker))
        assert box.asked.empty()
    assert done.returncode == 2
    assert "rules.0.match: give exactly one of type, name, first, heaviest" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["set-device", "gym-1", "hetro:gpu,cpu"], "did you mean HETERO:GPU,CPU?"),
        (["set-device", "gym-1"], "OPENVINO_DEVICE"),
        (["set-device", "Gym 1", "CPU"], "neither a device id nor a glob"),
        (["set-device", "--group", "a/b", "CPU"], "is no group"),
        (["set-device", "gym-1", "--group", "halls", "CPU"], "with --group there is no DEVICE"),
        (["set-precision", "gym-1", "FP8"], "FP8"),
        (["set-model", "gym-1", "No Model"], "model: should be a network's name as `models list` shows them"),
        (["fetch", "gym-1", "http://example.org/x"], "such as movenet-multipose: no address, no file"),
        (["get", "gym-1", "A.b"], "'A.b' is no key of the configuration"),
        (["set-affinity", "gym-1"], "give one of --preset, --rule and --file"),
        (["set-affinity", "gym-1", "--preset", "split", "--rule", "type=A:CPU"], "give one of"),
        (["set-affinity", "gym-1", "--preset", "split", "--default", "CPU"], "default goes with rules"),
        (["set-affinity", "gym-1", "--rule", "type=Convolution"], "expected KEY=VALUE:DEVICE"),
        (["set-affinity", "gym-1", "--rule", "kind=Convolution:CPU"], "expected KEY=VALUE:DEVICE"),
        (["set-affinity", "gym-1", "--rule", "first=1.5:CPU"], "first: should be at most 1"),
        (["set-affinity", "gym-1", "--rule", "type=Convolution:AUTO"], "no single device"),
        (["plan-affinity", "gym-1", "--preset", "split", "--mermaid", "--json"], "--mermaid or --json"),
        (["set-hint", "gym-1", "latency", "--streams", "0"], "--streams"),
        (["snapshot", "gym-1", "--out", "hall.png"], "ending in .jpg"),
        (["cancel", "gym-1", "x" * 129], "id: "),
        (["pause", "gym-1", "--if-version", "-1"], "--if-version"),
    ],
)
def test_wrong_usage_costs_nothing(words: list[str], said: str) -> None:
    """What cannot be meant is exit 2 before any broker is asked: here there is none."""
    code, errors = run_inside(*words, "--broker", "127.0.0.1:1")
    assert code == 2
    assert said in errors


def test_a_command_no_device_would_read(tmp_path: Path) -> None:
    """More rules than a command may hold are refused here, with the limit."""
    file = tmp_path / "rules.json"
    rule = {"match": {"name": "é" * 256}, "device": "CPU"}
    file.write_text(json.dumps({"rules": [rule] * 64}))
    code, errors = run_inside("set-affinity", "gym-1", "--file", str(file), "--broker", "127.0.0.1:1")
    assert code == 2
    assert f"devices take {COMMAND_BYTES_MAX}" in errors


@pytest.mark.parametrize(
    ("status", "code", "message", "told"),
    [
        (
            ReplyStatus.CANCELLED,
            ErrorCode.CANCELLED,
            "cancelled by c-7",
            "gym-1: cancelled by c-7",
        ),
        (
            ReplyStatus.CANCELLED,
            ErrorCode.CANCELLED,
            "it was stopped",
            "gym-1: cancelled: it was stopped",
        ),
        (ReplyStatus.REJECTED, ErrorCode.BUSY, "a job runs", "gym-1: rejected: busy: a job runs"),
    ],
)
def test_no_word_is_said_twice(broker: Broker, status: ReplyStatus, code: ErrorCode, message: str, told: str) -> None:
    """How it ended, the code and why are one sentence."""
    error = ReplyError(code=code, message=message, hint="")
    with Responder(broker.port, "gym-1", lambda asked: [reply("gym-1", asked, status, error=error)]):
        done = controller("pause", "gym-1", *address(broker))
    assert done.stderr == f"Error: {told}\n"
