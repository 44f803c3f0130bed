"""An agent that dies again and again in what was asked of it goes back to what was good."""

import json
import signal
from datetime import UTC, datetime
from pathlib import Path

from agent.wire.commands import Reply, ReplyStatus
from agent.wire.messages import Event, State, Status
from tests.broker import Broker, Listener
from tests.system.conftest import TOPICS
from tests.system.process import Process, agent

REPLIES = TOPICS.reply("test")


class Box:
    """Starts the agent on one state folder, again and again."""

    def __init__(self, port: int, listener: Listener, folder: Path) -> None:
        self._port = port
        self._listener = listener
        self._variables = {"EDGEPOSE_PATHS__STATE": str(folder), "EDGEPOSE_SWITCH__MEASURE_S": "0.3"}

    def start(self) -> Process:
        self._began = datetime.now(UTC)
        return agent(self._port, **self._variables)

    def state(self, status: Status) -> State:
        """The first state of this start with this status."""

        def wanted(payload: bytes) -> bool:
            state = State.decode(payload)
            return state.sent_at >= self._began and state.status is status and state.effective is not None

        seen = self._listener.wait(lambda seen: seen.topic == TOPICS.state and wanted(bytes(seen.payload)))
        return State.decode(bytes(seen.payload))

    def event(self, code: str) -> Event:
        """The first such event of this start."""

        def wanted(payload: bytes) -> bool:
            event = Event.decode(payload)
            return event.code == code and event.sent_at >= self._began

        seen = self._listener.wait(lambda seen: seen.topic == TOPICS.event and wanted(bytes(seen.payload)))
        return Event.decode(bytes(seen.payload))

    def set_device(self, device: str, command_id: str) -> Reply:
        body = json.dumps({"id": command_id, "reply_to": REPLIES, "args": {"device": device}}).encode()
        self._listener.client.publish(TOPICS.command("set-device"), body, 1)
        seen = self._listener.wait(lambda seen: seen.topic == REPLIES and command_id.encode() in seen.payload)
        return Reply.decode(bytes(seen.payload))


def devices(state: State) -> tuple[str, ...]:
    assert state.effective is not None
    return state.effective.execution_devices


def test_three_deaths(broker: Broker, tmp_path: Path) -> None:
    """After the third death in ten minutes it runs on the device of before, degraded, until it is told to try again."""
    with Listener(broker.port) as listener:
        box = Box(broker.port, listener, tmp_path / "state")
        with box.start() as process:
            box.state(Status.RUNNING)
            assert box.set_device("SIMCPU", "first").status is ReplyStatus.SUCCEEDED
            process.signal(signal.SIGKILL)
        for _ in range(2):
            with box.start() as process:
                assert devices(box.state(Status.RUNNING)) == ("SIMCPU",)
                process.signal(signal.SIGKILL)
        with box.start() as process:
            state = box.state(Status.DEGRADED)
            assert (devices(state), state.requested.device, state.version) == (("CPU",), "SIMCPU", 1)
            assert box.event("engine.degraded").facts["device"] == "CPU"
            process.signal(signal.SIGTERM)
            assert process.end() == 0
        with box.start() as process:
            assert devices(box.state(Status.DEGRADED)) == ("CPU",)
            assert box.set_device("SIMCPU", "second").status is ReplyStatus.SUCCEEDED
            state = box.state(Status.RUNNING)
            assert (devices(state), state.version) == (("SIMCPU",), 2)
            process.signal(signal.SIGTERM)
            assert process.end() == 0
