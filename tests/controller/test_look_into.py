"""What is wrong on boxes, from afar: `check`, `logs`, and `fetch` as the job it is; responders stand for the agents."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

from pydantic import JsonValue

from agent.wire.commands import JobStatus, Reply
from tests.broker import Broker
from tests.controller.conftest import controller
from tests.controller.responder import Asked, Responder, job, publish_job, rejection, reply

CHECKED: dict[str, JsonValue] = {
    "checks": [
        {"name": "camera", "level": "ok", "finding": "rtsp://***@camera.lan/1 is live", "cure": ""},
        {"name": "disk", "level": "warn", "finding": "310 MB free at /var/lib", "cure": "free some of it"},
        {"name": "clock", "level": "fail", "finding": "1970-01-01 is in the past", "cure": "timedatectl set-ntp true"},
    ]
}
WELL: dict[str, JsonValue] = {"checks": [{"name": "disk", "level": "ok", "finding": "9 GB free", "cure": ""}]}
LINES: list[JsonValue] = [
    "2026-01-31T06:30:00.125Z info agent.starting device_id=gym-1 model=movenet-multipose device=CPU",
    "2026-01-31T06:30:01.125Z warning camera.lost source=rtsp://***@camera.lan/1 after_s=2.0 cause=\x1b[2Jno answer",
]
FETCHED: dict[str, JsonValue] = {
    "model": "rtmo-s",
    "fetched": True,
    "precisions": ["FP32"],
    "licence": "Apache-2.0",
    "checksums": {"rtmo-s.onnx": "12" * 32},
}


def address(broker: Broker) -> list[str]:
    return ["--broker", f"127.0.0.1:{broker.port}"]


def answers(device_id: str, asked: Asked) -> Sequence[Reply]:
    match asked.name:
        case "check":
            return [reply(device_id, asked, result=CHECKED if device_id == "gym-1" else WELL)]
        case "logs":
            return [reply(device_id, asked, result={"lines": LINES})]
    return [rejection(device_id, asked)]


def test_what_is_wrong_is_told_with_its_cure(broker: Broker) -> None:
    """Every finding of a box; of several boxes those that are not well. A check that failed makes the exit code 1."""
    with ExitStack() as stack:
        for name in ("gym-1", "gym-2"):
            stack.enter_context(Responder(broker.port, name, partial(answers, name)))
        one = controller("check", "gym-1", *address(broker))
        both = controller("check", "gym-*", *address(broker))
        well = controller("check", "gym-2", "--json", *address(broker))
    assert (one.returncode, both.returncode, well.returncode) == (1, 1, 0)
    assert [line.split()[0] for line in one.stdout.splitlines()[1:]] == ["camera", "disk", "clock"]
    assert "timedatectl set-ntp true" in one.stdout
    words = [line.split()[0] for line in both.stdout.splitlines()]
    assert words[:4] == ["gym-1", "check", "disk", "clock"]
    assert both.stdout.splitlines()[4:] == ["1 of 2 boxes are well."]
    assert Reply.model_validate_json(well.stdout).result == WELL


def test_the_log_is_shown_line_by_line(broker: Broker) -> None:
    """Of several boxes each line behind its box; nothing in it steers the terminal."""
    with Responder(broker.port, "gym-1", partial(answers, "gym-1")) as box:
        one = controller("logs", "gym-1", "--lines", "2", *address(broker))
        asked = box.request()
        all_ = controller("logs", "gym-*", *address(broker))
        wrong = controller("logs", "gym-1", "--lines", "1001", *address(broker))
    assert asked.body["args"] == {"lines": 2}
    assert one.stdout.splitlines() == [str(line).replace("\x1b", "�") for line in LINES]
    assert all_.stdout.splitlines()[0] == f"gym-1  {LINES[0]}"
    assert wrong.returncode == 2


def test_a_network_is_fetched_by_its_name(broker: Broker) -> None:
    """The job is followed to its end; what is no name never leaves the controller; what the box refuses is 4."""
    ended = job(status=JobStatus.SUCCEEDED, command="fetch", id="fetch-1", result=FETCHED)

    def box(asked: Asked) -> Sequence[Reply]:
        if asked.body["args"] != {"name": "rtmo-s"}:
            return [rejection("gym-1", asked)]
        publish_job(broker.port, ended, "fetch-1")
        return [reply("gym-1", asked, result={"job": "fetch-1"})]

    with Responder(broker.port, "gym-1", box):
        done = controller("fetch", "gym-1", "rtmo-s", "--json", *address(broker))
        refused = controller("fetch", "gym-1", "nobody-knows-it", *address(broker))
        wrong = [controller("fetch", "gym-1", name, *address(broker)) for name in ("../x", "https://x.example/n")]
    assert (done.returncode, json.loads(done.stdout)["job"]["result"]) == (0, FETCHED)
    assert refused.returncode == 4
    assert [each.returncode for each in wrong] == [2, 2]
