"""Commands to several devices at once: globs and groups; responders stand for their agents."""

import json
from collections.abc import Callable
from contextlib import ExitStack

from agent.wire.commands import Reply
from tests.broker import Broker
from tests.controller.conftest import controller
from tests.controller.responder import Asked, Responder, failure, put_member, rejection, reply, switch


def address(broker: Broker) -> list[str]:
    return ["--broker", f"127.0.0.1:{broker.port}"]


def box(
    broker: Broker, name: str, *groups: str, answer: Callable[[str, Asked], list[Reply]] | None = None
) -> Responder:
    return Responder(broker.port, name, lambda asked: (answer or done_by)(name, asked), groups=groups)


def silent(_device_id: str, _asked: Asked) -> list[Reply]:
    return []


def done_by(device_id: str, asked: Asked) -> list[Reply]:
    return [reply(device_id, asked, result=switch().model_dump(mode="json"))]


def test_a_glob_reaches_those_it_matches(broker: Broker) -> None:
    """Every online device that matches gets the command, all replies are collected; who is offline is listed so."""
    put_member(broker.port, "gym-3", availability=b"offline")
    with ExitStack() as stack:
        boxes = {name: stack.enter_context(box(broker, name)) for name in ("gym-1", "gym-2", "hall-1")}
        done = controller("set-device", "gym-*", "CPU", "--json", *address(broker))
        asked = [boxes[name].request() for name in ("gym-1", "gym-2")]
        page = controller("set-device", "gym-*", "CPU", *address(broker))
        assert boxes["hall-1"].asked.empty()
    found = json.loads(done.stdout)["devices"]
    assert done.returncode == 3
    assert [(each["device_id"], each["status"]) for each in found] == [
        ("gym-1", "succeeded"),
        ("gym-2", "succeeded"),
        ("gym-3", "offline"),
    ]
    assert {each.id for each in asked} == {each["id"] for each in found}
    rows = [line.split() for line in page.stdout.splitlines()]
    assert [row[:4] for row in rows[1:]] == [[name, "succeeded", "7", "SIMCPU,CPU"] for name in ("gym-1", "gym-2")]
    assert "20.0 -> 30.0" in page.stdout
    assert "gym-3: offline, not sent" in page.stderr


def test_a_glob_that_matches_one_gives_a_list(broker: Broker) -> None:
    """The shape of --json is decided by how devices are named, not by how many there are; none is exit 3."""
    with box(broker, "gym-1"):
        done = controller("set-device", "gym-?", "CPU", "--json", *address(broker))
        nobody = controller("set-device", "roof-*", "CPU", *address(broker))
    assert (done.returncode, len(json.loads(done.stdout)["devices"])) == (0, 1)
    assert nobody.returncode == 3
    assert "seen: gym-1" in nobody.stderr


def test_the_worst_counts(broker: Broker) -> None:
    """Of several devices a failure decides the exit code, else a refusal, else silence; the first answer counts."""
    with ExitStack() as stack:
        # The second is a repeat, as far as the controller is concerned.
        stack.enter_context(box(broker, "gym-1", answer=lambda *asked: [*done_by(*asked), failure(*asked)]))
        stack.enter_context(box(broker, "gym-2", answer=silent))
        stack.enter_context(box(broker, "gym-3", answer=lambda *asked: [rejection(*asked)]))
        wait = ["--timeout", "1.5", *address(broker)]
        quiet = controller("set-device", "gym-[12]", "CPU", *wait)
        refused = controller("set-device", "gym-*", "CPU", *wait)
        stack.enter_context(box(broker, "gym-4", answer=lambda *asked: [failure(*asked)]))
        failed = controller("set-device", "gym-*", "CPU", *wait)
    assert (quiet.returncode, refused.returncode, failed.returncode) == (3, 4, 1)
    assert "gym-2: no answer within" in failed.stderr
    assert "gym-3: rejected" in failed.stderr
    assert "gym-4: failed" in failed.stderr
    assert "gym-1" in failed.stdout


def test_a_group_is_one_publication(broker: Broker) -> None:
    """A group's members all get the one message and answer each below its own id; who is silent is named."""
    put_member(broker.port, "hall-9", groups=("halls",), availability=b"offline")
    with ExitStack() as stack:
        members = [
            stack.enter_context(box(broker, "hall-1", "halls", "all")),
            stack.enter_context(box(broker, "hall-2", "halls")),
            stack.enter_context(box(broker, "hall-3", "halls", answer=silent)),
        ]
        other = stack.enter_context(box(broker, "gym-1", "gyms"))
        wait = ["--timeout", "1.5", *address(broker)]
        done = controller("set-device", "--group", "halls", "cpu", "--json", *wait)
        asked = [member.request() for member in members]
        assert other.asked.empty()
        unknown = controller("set-device", "--group=hals", "cpu", *wait)
    assert {(each.topic, each.id, each.response_topic) for each in asked} == {
        ("edgepose/_group/halls/command/set-device", asked[0].id, asked[0].response_topic)
    }
    assert asked[0].response_topic.startswith("edgepose/_group/halls/reply/")
    assert [(each["device_id"], each["status"]) for each in json.loads(done.stdout)["devices"]] == [
        ("hall-1", "succeeded"),
        ("hall-2", "succeeded"),
        ("hall-3", "no_answer"),
        ("hall-9", "offline"),
    ]
    assert (done.returncode, unknown.returncode) == (3, 3)
    assert "did you mean halls? seen: all, gyms, halls" in unknown.stderr


def test_a_member_nobody_knew_is_heard(broker: Broker) -> None:
    """Who answers to the group without having been seen in it is shown as well."""
    with box(broker, "hall-2", "halls") as late:
        put_member(broker.port, "hall-2", groups=())
        with box(broker, "hall-1", "halls", answer=silent):
            done = controller("pause", "--group", "halls", "--timeout", "1.5", "--json", *address(broker))
        assert late.request().name == "pause"
    assert [(each["device_id"], each["status"]) for each in json.loads(done.stdout)["devices"]] == [
        ("hall-1", "no_answer"),
        ("hall-2", "succeeded"),
    ]
