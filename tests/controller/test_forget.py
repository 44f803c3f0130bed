"""A box that is gone for good, and those left out where whoever is online is addressed."""

import json

import pytest

from agent.wire.topics import Topics
from tests.broker import Broker, Listener, publish_all
from tests.controller.conftest import controller, run_inside
from tests.controller.responder import Responder, job, publish_job, put_member, reply

GONE = Topics("gym-1")
ZONE = f"{GONE.prefix}/gym-1/zone/mat"
ENTITY = "homeassistant/sensor/gym-1/fps/config"


@pytest.fixture
def gone(broker: Broker) -> str:
    """Leave on the broker what a box leaves there, beside another box; returns the broker's address."""
    for device in ("gym-1", "gym-2"):
        put_member(broker.port, device, availability=b"offline")
        publish_job(broker.port, job(device))
    publish_all(broker.port, {ZONE: b"{}", ENTITY: b"{}", GONE.metrics: b"not understood"}, retain=True)
    return f"127.0.0.1:{broker.port}"


def retained(broker: Broker) -> set[str]:
    """The topics the broker keeps, as long as the next message has not come."""
    with Listener(broker.port) as listener:
        publish_all(broker.port, {"end": b""})
        listener.wait_for("end", b"")
        return {message.topic for message in listener.messages if message.retain}


def test_everything_of_a_box_is_cleared_and_nothing_of_another(broker: Broker, gone: str) -> None:
    """Afterwards the broker knows the other box alone."""
    before = retained(broker)
    done = controller("forget", "gym-1", "--yes", "--broker", gone)
    assert (done.returncode, done.stdout) == (0, "gym-1: forgotten, 7 topics cleared\n")
    assert retained(broker) == {topic for topic in before if "gym-1" not in topic}
    again = controller("forget", "gym-1", "--yes", "--broker", gone)
    assert (again.returncode, "no device 'gym-1'" in again.stderr) == (3, True)


def test_several_and_as_json(broker: Broker, gone: str) -> None:
    """A glob retires several; as JSON each topic is named."""
    done = controller("forget", "gym-*", "--yes", "--json", "--broker", gone)
    found = json.loads(done.stdout)["devices"]
    assert [each["device_id"] for each in found] == ["gym-1", "gym-2"]
    assert {ZONE, ENTITY, GONE.info, GONE.job("quantize-1")} < set(found[0]["cleared"])
    assert not retained(broker)


def test_nothing_is_cleared_that_was_not_confirmed(broker: Broker, gone: str) -> None:
    """Without a terminal to ask at, --yes has to say it."""
    before = retained(broker)
    code, said = run_inside("forget", "gym-1", "--broker", gone)
    assert (code, "--yes" in said) == (2, True)
    assert retained(broker) == before


def test_one_that_is_online_is_refused(broker: Broker, gone: str) -> None:
    """Nor is anything cleared of those beside it."""
    with Responder(broker.port, "gym-3", lambda _: []):
        before = retained(broker)
        code, said = run_inside("forget", "*", "--yes", "--broker", gone)
        assert (code, "gym-3 is online" in said) == (1, True)
        assert retained(broker) == before


def test_everybody_is_whoever_is_online(broker: Broker, gone: str) -> None:
    """'*' leaves out who is offline and says so; another glob names who ought to be there."""
    with Responder(broker.port, "gym-3", lambda asked: [reply("gym-3", asked)]):
        done = controller("pause", "*", "--broker", gone)
        named = controller("pause", "gym-*", "--broker", gone)
        as_json = controller("pause", "*", "--json", "--broker", gone)
        listed = controller("jobs", "*", "--broker", gone)
    assert (done.returncode, done.stderr) == (0, "Left out, offline: gym-1, gym-2\n")
    assert "gym-3" in done.stdout
    assert (named.returncode, "gym-1: offline, not sent" in named.stderr) == (3, True)
    assert [each["status"] for each in json.loads(as_json.stdout)["devices"]] == ["offline", "offline", "succeeded"]
    assert (as_json.returncode, listed.returncode) == (0, 0)
    nobody = controller("pause", "*", "--broker", gone, "--timeout", "1")
    assert nobody.returncode == 3
