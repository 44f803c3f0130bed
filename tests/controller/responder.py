"""Stands for an agent: takes commands as one does, and gives the replies a test has written."""

import json
import queue
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Self

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from pydantic import JsonValue

from agent.wire.affinity import Affinity, Boundary, Expected, Plan
from agent.wire.commands import (
    Agreement,
    ErrorCode,
    Job,
    JobStatus,
    Pace,
    Reply,
    ReplyError,
    ReplyStatus,
    SwitchResult,
)
from agent.wire.messages import DeviceInfo, Effective, Message, ModelInfo, Requested
from agent.wire.topics import Topics
from tests import samples
from tests.broker import hang_up, publish_all

TIMEOUT_S: Final = 60.0


@dataclass(frozen=True)
class Asked:
    """A command as it came."""

    topic: str
    name: str
    body: dict[str, Any]
    response_topic: str
    correlation: bytes
    expiry_s: int
    qos: int
    retained: bool

    @property
    def id(self) -> str:
        return str(self.body["id"])


Answers = Iterable[Reply | bytes]


class Responder:
    """An agent on the broker: online, with its birth message; entering returns when it has subscribed."""

    def __init__(
        self, port: int, device_id: str, answers: Callable[[Asked], Answers], *, groups: tuple[str, ...] = ()
    ) -> None:
        self.device_id = device_id
        self.asked: queue.Queue[Asked] = queue.Queue()
        self._port = port
        self._answers = answers
        self._groups = groups
        self._topics = Topics(device_id)
        self._subscribed: queue.Queue[None] = queue.Queue()
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_connect = lambda client, *_: client.subscribe(
            [(topic, 1) for topic in self._topics.command_filters(groups)]
        )
        self._client.on_subscribe = lambda *_: self._subscribed.put(None)
        self._client.on_message = self._on_message

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        self._subscribed.get(timeout=TIMEOUT_S)
        put_member(self._port, self.device_id, groups=self._groups)
        return self

    def __exit__(self, *_: object) -> None:
        hang_up(self._client)

    def request(self) -> Asked:
        """Return the next command."""
        return self.asked.get(timeout=TIMEOUT_S)

    def _on_message(self, client: Client, _data: object, message: MQTTMessage) -> None:
        name = self._topics.command_of(message.topic, self._groups)
        assert name is not None
        properties: Any = message.properties
        asked = Asked(
            message.topic,
            name,
            json.loads(message.payload),
            properties.ResponseTopic,
            properties.CorrelationData,
            properties.MessageExpiryInterval,
            message.qos,
            message.retain,
        )
        client_name = self._topics.client_of(asked.response_topic)
        assert client_name is not None
        echo = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        echo.CorrelationData = asked.correlation
        for answer in self._answers(asked):
            payload = answer if isinstance(answer, bytes) else answer.encode()
            client.publish(self._topics.reply(client_name), payload, 1, properties=echo)
        self.asked.put(asked)


def put_member(
    port: int,
    device_id: str,
    *,
    groups: tuple[str, ...] = (),
    availability: bytes = b"online",
    processors: tuple[str, ...] = ("CPU", "SIMCPU"),
) -> None:
    """Leave on the broker what the controller reads before it asks."""
    devices = tuple(DeviceInfo(name=name, full_name=name, capabilities=()) for name in processors)
    models = (
        ModelInfo(name="movenet-multipose", precisions=("FP32", "FP16", "INT8")),
        ModelInfo(name="openpose-mobilenet-v2-small", precisions=("FP32",)),
    )
    info = samples.info(device_id).model_copy(update={"groups": groups, "devices": devices, "models": models})
    topics = Topics(device_id)
    messages = {
        topics.info: info.encode(),
        topics.state: samples.state(device_id).encode(),
        topics.availability: availability,
    }
    publish_all(port, messages, retain=True)


def publish_job(port: int, job: Message, job_id: str = "quantize-1") -> None:
    """Tell about a job as its agent does."""
    publish_all(port, {Topics(job.device_id).job(job_id): job.encode()}, retain=True)


def reply(
    device_id: str,
    asked: Asked,
    status: ReplyStatus = ReplyStatus.SUCCEEDED,
    result: dict[str, JsonValue] | None = None,
    error: ReplyError | None = None,
) -> Reply:
    """Make the reply to a command."""
    return Reply(
        device_id=device_id,
        sent_at=samples.NOW,
        id=asked.id,
        command=asked.name,
        status=status,
        error=error,
        result=result,
        state_version=7,
    )


def rejection(device_id: str, asked: Asked) -> Reply:
    error = ReplyError(
        code=ErrorCode.UNAVAILABLE_DEVICE,
        message="this box has no NPU",
        hint="devices here: CPU, SIMCPU",
    )
    return reply(device_id, asked, ReplyStatus.REJECTED, error=error)


def failure(device_id: str, asked: Asked) -> Reply:
    error = ReplyError(code=ErrorCode.ACCURACY_FAILED, message="9 of 127 people missed", hint="calibrate with people")
    return reply(device_id, asked, ReplyStatus.FAILED, error=error)


def switch(**changes: Any) -> SwitchResult:
    """A switch to a HETERO device in INT8."""
    result = SwitchResult(
        requested=Requested(
            model="movenet-multipose",
            device="HETERO:SIMCPU,CPU",
            precision="INT8",
            affinity={"preset": "split"},
            hint="latency",
        ),
        effective=Effective(
            execution_devices=("SIMCPU", "CPU"),
            model_precision="INT8",
            inference_precision="F32",
            submodels=3,
            infer_requests=2,
            compile_ms=812.4,
            first_infer_ms=14.2,
            from_cache=True,
            engine=4,
        ),
        compile_ms=812.4,
        first_infer_ms=14.2,
        gap_ms=31.5,
        frames_lost=2,
        before=Pace(fps=20.0, latency=40.0),
        after=Pace(fps=30.0, latency=10.0),
        agreement=Agreement(frames=40, people=127, missed=3, invented=1, mean_oks=0.951),
        plan=plan().model_dump(mode="json", exclude={"mermaid"}),
    )
    return result.model_copy(update=changes)


def plan() -> Plan:
    """A plan with more crossings than a person wants to read."""
    boundaries = tuple(
        Boundary(source="SIMCPU", target="CPU", operation=f"block_{number}/relu", bytes=1000 * number)
        for number in range(1, 8)
    )
    return Plan(
        device="HETERO:SIMCPU,CPU",
        affinity=Affinity(preset="split"),
        operations={"SIMCPU": 120, "CPU": 34},
        submodels=3,
        boundaries=boundaries,
        bytes_moved=28_000,
        moved={"TopK": 2},
        expected=Expected(frame_ms=12.34, alone_ms={"SIMCPU": 14.0, "CPU": 15.0}, crossing_ms=0.5),
        mermaid="flowchart LR\n  a[SIMCPU] --> b[CPU]",
    )


def job(device_id: str = "gym-1", status: JobStatus = JobStatus.RUNNING, **changes: Any) -> Job:
    """A job somewhere on its way."""
    sample = Job(
        device_id=device_id,
        sent_at=samples.NOW,
        id="quantize-1",
        command="quantize",
        status=status,
        step="recording 120 of 300 frames",
        progress=0.25,
        started_at=samples.NOW,
    )
    return sample.model_copy(update=changes)


def switched(device_id: str) -> Callable[[Asked], Answers]:
    """Answer every command with a switch that worked."""
    return lambda asked: [reply(device_id, asked, result=switch().model_dump(mode="json"))]
