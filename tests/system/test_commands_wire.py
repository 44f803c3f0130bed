"""Commands to a running agent over a real broker, from MQTT 5 and from 3.1.1: what is done, and what is refused."""

import itertools
import json
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.wire.commands import COMMAND_BYTES_MAX, ErrorCode, Reply, ReplyStatus, SwitchResult
from agent.wire.messages import Event, Keypoints, State, Status
from agent.wire.topics import group_command, group_reply
from tests import broken_networks
from tests.broker import Broker, hang_up
from tests.commander import Commander
from tests.system.conftest import TOPICS
from tests.system.process import agent
from tests.system.small import variables

GROUP = "halls"
ANONYMOUS = TOPICS.reply("anonymous")
RESULTS_AFTER = 4
"""More than an engine has infer requests."""
PAST = "2026-01-31T06:30:00Z"


@pytest.fixture(scope="module")
def commander(tmp_path_factory: pytest.TempPathFactory, ten_frames: Any) -> Iterator[Commander]:
    """An agent that runs a small network, and somebody who asks it for things."""
    networks = tmp_path_factory.mktemp("networks")
    broken_networks.sound(networks)
    given = variables(networks, ten_frames, tmp_path_factory.mktemp("agent"))
    with (
        Broker(tmp_path_factory.mktemp("broker")) as broker,
        Commander(broker.port, TOPICS) as running,
        agent(broker.port, **given, EDGEPOSE_GROUPS=json.dumps([GROUP])),
    ):
        running.wait(lambda seen: seen.topic == TOPICS.keypoints, timeout_s=60)
        yield running


def last_state(commander: Commander) -> State:
    """How the agent says it is, once it has said that it runs."""
    commander.wait(lambda _: state(commander).status is Status.RUNNING)
    return state(commander)


def state(commander: Commander) -> State:
    return State.decode(commander.payloads(TOPICS.state)[-1])


def raw(commander: Commander, topic: str, payload: bytes, **properties: Any) -> Reply:
    """Publish any bytes with MQTT 5's response topic; the reply is known by its Correlation Data."""
    given: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    given.ResponseTopic = TOPICS.reply("raw")
    given.CorrelationData = uuid.uuid4().hex.encode()
    for name, value in properties.items():
        setattr(given, name, value)
    commander.client.publish(topic, payload, 1, properties=given)

    def answers(seen: MQTTMessage) -> bool:
        found = getattr(seen.properties, "CorrelationData", None)
        return bool(seen.topic == given.ResponseTopic and found == given.CorrelationData)

    return Reply.decode(bytes(commander.wait(answers).payload))


def refused(reply: Reply, code: ErrorCode) -> str:
    """Check that it is a refusal with this code; what it says, in one text."""
    assert (reply.status, reply.result) == (ReplyStatus.REJECTED, None)
    assert reply.error is not None
    assert reply.error.code is code
    return f"{reply.error.message}; {reply.error.hint}"


@pytest.mark.parametrize(
    ("name", "body", "code", "told"),
    [
        ("set-device", {"args": {"device": "NOPE"}}, ErrorCode.UNKNOWN_DEVICE, "devices here: CPU, SIMCPU"),
        (
            "set-device",
            {"args": {"device": "AUTO:NPU,CPU"}},
            ErrorCode.UNAVAILABLE_DEVICE,
            "has no NPU, which AUTO:NPU,CPU needs",
        ),
        ("set-device", {"args": {"device": "HETERO:"}}, ErrorCode.UNKNOWN_DEVICE, "HETERO:GPU,CPU"),
        ("set-device", {}, ErrorCode.INVALID_PAYLOAD, "args.device: missing"),
        ("set-device", {"args": {"devise": "CPU"}}, ErrorCode.INVALID_PAYLOAD, "did you mean device?"),
        ("set-precision", {"args": {"precision": "INT8"}}, ErrorCode.UNAVAILABLE_PRECISION, "quantize demo"),
        ("set-precision", {"args": {"precision": "INT4"}}, ErrorCode.INVALID_PAYLOAD, "args.precision"),
        ("set-model", {"args": {"model": "tiny-soun"}}, ErrorCode.UNKNOWN_MODEL, "did you mean tiny-sound?"),
        ("set-affinity", {"args": {"preset": "split"}}, ErrorCode.INVALID_AFFINITY, "set-device demo HETERO"),
        ("set-affinity", {"args": {"preset": "best"}}, ErrorCode.INVALID_PAYLOAD, "args.preset"),
        ("set-affinity", {"args": {}}, ErrorCode.INVALID_PAYLOAD, "a preset, or rules"),
        ("set-devise", {}, ErrorCode.UNKNOWN_COMMAND, "did you mean set-device?"),
        ("describe", {"if_version": 99}, ErrorCode.VERSION_CONFLICT, "not 99"),
        ("describe", {"expires_at": PAST}, ErrorCode.EXPIRED, PAST[:10]),
        ("describe", {"idd": "x"}, ErrorCode.INVALID_PAYLOAD, "unknown field 'idd'"),
        ("snapshot", {}, ErrorCode.INVALID_PAYLOAD, "output.snapshots"),
        ("cancel", {"args": {"id": "nothing"}}, ErrorCode.NOT_FOUND, "nothing"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(
    commander: Commander, name: str, body: dict[str, Any], code: ErrorCode, told: str
) -> None:
    """The reply names what is wrong and the cure; nothing begins, and the state stays as it is."""
    before = last_state(commander)
    given = {"id": f"{name}-{code.value}-{uuid.uuid4().hex}", "reply_to": TOPICS.reply("commander")} | body
    commander.client.publish(TOPICS.command(name), json.dumps(given), 1)
    reply = commander.reply(str(given["id"]))
    assert told in refused(reply, code)
    assert reply.state_version == before.version
    after = State.model_validate(described(commander)["state"])
    assert (after.version, after.requested, after.effective) == (before.version, before.requested, before.effective)


def described(commander: Commander) -> dict[str, Any]:
    reply = commander.ask("describe")
    assert reply.result is not None
    return reply.result


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (b"not JSON", "not JSON"),
        (b"[" * 10_000, "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'"CPU"', "payload"),
        (b'{"args": {"device": "' + b"C" * COMMAND_BYTES_MAX + b'"}}', f"more than {COMMAND_BYTES_MAX} bytes"),
    ],
)
def test_any_bytes_are_answered(commander: Commander, payload: bytes, told: str) -> None:
    """What is no command at all is answered where the properties say; without them, on the anonymous client's topic."""
    assert told in refused(raw(commander, TOPICS.command("set-device"), payload), ErrorCode.INVALID_PAYLOAD)
    count = len(commander.payloads(ANONYMOUS))
    commander.client.publish(TOPICS.command("set-device"), payload, 1)
    commander.wait(lambda _: len(commander.payloads(ANONYMOUS)) > count)
    assert told in refused(Reply.decode(commander.payloads(ANONYMOUS)[-1]), ErrorCode.INVALID_PAYLOAD)


def test_a_retained_command_is_refused(commander: Commander) -> None:
    """It would be done again at every reconnect. To clear it looks like one without arguments, and is not answered."""
    given: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    given.ResponseTopic = TOPICS.reply("retained")
    topic = TOPICS.command("pause")
    commander.client.publish(topic, b"", 1, retain=True, properties=given)
    commander.client.publish(topic, b'{"id": "kept"}', 1, retain=True, properties=given)
    commander.wait(lambda seen: seen.topic == given.ResponseTopic)
    commander.client.publish(topic, b"", 1, retain=True, properties=given)
    described(commander)  # whatever came before it has been answered
    (told,) = commander.payloads(given.ResponseTopic)
    assert Reply.decode(told).id == "kept"
    assert "without the retain flag" in refused(Reply.decode(told), ErrorCode.RETAINED)
    assert last_state(commander).status is Status.RUNNING


def test_what_mqtt_5_says_wins_over_the_body(commander: Commander) -> None:
    """Correlation Data is the id, the Response Topic the address, and Message Expiry the end of its time."""
    body = json.dumps({"id": "of-the-body", "reply_to": "nowhere", "expires_at": PAST}).encode()
    reply = raw(commander, TOPICS.command("describe"), body, CorrelationData=b"of-mqtt-5", MessageExpiryInterval=60)
    assert (reply.id, reply.status) == ("of-mqtt-5", ReplyStatus.SUCCEEDED)
    assert not commander.payloads("nowhere")


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("set-device", {"device": "simcpu"}),
        ("set-device", {"device": "HETERO:SIMCPU,CPU"}),
        ("set-affinity", {"preset": "convolutions"}),
        ("set-affinity", {"rules": [{"match": {"first": 0.5}, "device": "SIMCPU"}], "default": "CPU"}),
        ("set-device", {"device": "MULTI:SIMCPU,CPU"}),
        ("set-device", {"device": "AUTO"}),
        ("set-hint", {"hint": "throughput"}),
        ("set-precision", {"precision": "FP16"}),
        ("set-device", {"device": "CPU"}),
    ],
)
def test_a_switch_is_told_as_it_is(commander: Commander, name: str, args: dict[str, Any]) -> None:
    """The reply has figures of before and after, and what it says of requested and effective is what `state` says."""
    before = last_state(commander)
    reply = commander.ask(name, **args)
    assert reply.status is ReplyStatus.SUCCEEDED, reply
    after = last_state(commander)
    assert before.effective is not None
    assert after.effective is not None
    assert (reply.state_version, after.version) == (before.version + 1, before.version + 1)
    assert after.effective.engine == before.effective.engine + 1
    result = SwitchResult.model_validate_json(json.dumps(reply.result))
    assert (result.requested, result.effective) == (after.requested, after.effective)
    assert result.frames_lost == 0
    assert result.gap_ms is not None
    assert result.after.fps is not None
    assert result.after.latency is not None
    for _ in range(RESULTS_AFTER):  # nobody closes it under them
        next_result(commander, after.effective.engine)
    asked = after.requested.model_dump(mode="json", exclude_none=True)
    for key, value in args.items():
        found = asked[key] if key in asked else asked["affinity"][key]
        assert found == (value.upper() if key == "device" else value)


def next_result(commander: Commander, engine: int) -> None:
    """Wait for a result from now on; it must be of this engine."""
    count = len(commander.payloads(TOPICS.keypoints))
    commander.wait(lambda _: len(commander.payloads(TOPICS.keypoints)) > count)
    assert Keypoints.decode(commander.payloads(TOPICS.keypoints)[-1]).engine == engine


def test_a_repeated_id_does_nothing_twice(commander: Commander) -> None:
    """The same id is answered with the same bytes, while it is done once only, whatever it says the second time."""
    engine = last_state(commander).effective
    commander.send("set-device", "twice", device="SIMCPU")
    commander.send("set-device", "twice", device="SIMCPU")
    commander.reply("twice")
    commander.send("set-precision", "twice", precision="FP32")
    described(commander)
    replies = [told for told in commander.payloads(TOPICS.reply("commander")) if Reply.decode(told).id == "twice"]
    assert len(replies) == 2
    assert replies[0] == replies[1]
    begun = [Event.decode(told) for told in commander.payloads(TOPICS.event)]
    assert len([event for event in begun if (event.code, event.facts.get("id")) == ("switch.started", "twice")]) == 1
    after = last_state(commander).effective
    assert engine is not None
    assert after is not None
    assert after.engine == engine.engine + 1


def test_one_is_done_at_a_time(commander: Commander) -> None:
    """Commands sent all at once are done in their order, each on what the one before it left; the tenth is busy."""
    version = last_state(commander).version
    wanted = [("set-device", {"device": device}) for device in ("CPU", "SIMCPU")] + [("set-hint", {"hint": "latency"})]
    wanted += [("pause" if turn % 2 == 0 else "resume", {}) for turn in range(6)]
    ids = [commander.send(name, **args) for name, args in wanted]
    late = commander.ask("pause")
    assert "waiting" in refused(late, ErrorCode.BUSY)
    replies = [commander.reply(command_id) for command_id in ids]
    assert {reply.status for reply in replies} == {ReplyStatus.SUCCEEDED}
    assert [reply.state_version for reply in replies] == list(range(version + 1, version + 1 + len(replies)))
    assert last_state(commander).requested.device == "SIMCPU"


def test_a_group_is_asked_at_once(commander: Commander) -> None:
    """A command to a group the device is in is done, and answered on the device's own topic of that client."""
    body = {"id": "to-all", "reply_to": group_reply(GROUP, "fleet")}
    commander.client.publish(group_command(GROUP, "jobs"), json.dumps(body), 1)
    commander.client.publish(group_command("others", "jobs"), json.dumps(body | {"id": "to-others"}), 1)
    described(commander)
    (told,) = commander.payloads(TOPICS.reply("fleet"))
    reply = Reply.decode(told)
    assert (reply.id, reply.status, reply.result) == ("to-all", ReplyStatus.SUCCEEDED, {"jobs": []})


def test_a_client_of_mqtt_3_is_served(commander: Commander) -> None:
    """Without properties, id and reply topic stand in the body; the reply names the id."""
    heard = threading.Event()
    told: list[bytes] = []

    def on_message(_client: Client, _data: object, message: MQTTMessage) -> None:
        told.append(bytes(message.payload))
        heard.set()

    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv311)
    subscribed = threading.Event()
    client.on_message = on_message
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", commander.client.port)
    client.loop_start()
    client.subscribe(TOPICS.reply("old"), 1)
    assert subscribed.wait(10)
    expires = (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="seconds")
    body = {"id": "of-old", "reply_to": TOPICS.reply("old"), "expires_at": expires, "args": {"device": "CPU"}}
    client.publish(TOPICS.command("set-device"), json.dumps(body), 1)
    assert heard.wait(60)
    hang_up(client)
    (reply,) = map(Reply.decode, told)
    assert (reply.id, reply.status) == ("of-old", ReplyStatus.SUCCEEDED)
    assert last_state(commander).requested.device == "CPU"


def test_nothing_is_published_in_a_pause(commander: Commander) -> None:
    """After the reply to `pause` no frame captured later comes, until `resume` is answered; of a file none is lost."""
    paused = commander.ask("pause")
    commander.wait(lambda _: state(commander).status is Status.PAUSED)
    switched = commander.ask("set-hint", hint="throughput")
    resumed = commander.ask("resume")
    assert (paused.result, resumed.result) == ({"paused": True}, {"paused": False})
    assert switched.result is not None
    assert (switched.status, switched.result["gap_ms"]) == (ReplyStatus.SUCCEEDED, None)
    commander.wait(lambda seen: seen.topic == TOPICS.keypoints and captured(seen) > resumed.sent_at)
    told = [results(seen) for seen in list(commander.messages) if seen.topic == TOPICS.keypoints]
    held = [result for result in told if paused.sent_at < result.captured_at < resumed.sent_at]
    assert len(held) <= 1, "more than the frame that was in hand"
    assert all(result.sent_at >= resumed.sent_at for result in held)
    assert [after.seq - before.seq for before, after in itertools.pairwise(told)] == [1] * (len(told) - 1)


def captured(seen: MQTTMessage) -> datetime:
    return results(seen).captured_at


def results(seen: MQTTMessage) -> Keypoints:
    return Keypoints.decode(bytes(seen.payload))
