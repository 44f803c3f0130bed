"""What a person sees in a terminal while a device is busy; a responder stands for its agent."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.wire.commands import Reply, ReplyStatus
from agent.wire.messages import Event, Severity, Status
from agent.wire.topics import Topics
from tests import samples
from tests.broker import Broker, publish
from tests.controller.conftest import COMMAND, controller
from tests.controller.responder import Asked, Responder, job, publish_job, reply, switched
from tests.system.terminal import Terminal

TOPICS = Topics("gym-1")


class Busy:
    """A device that says it switches, and answers when it is let."""

    def __init__(self, port: int) -> None:
        self.done = threading.Event()
        self._port = port

    def answers(self, asked: Asked) -> Iterator[Reply | bytes]:
        event = Event(
            device_id="gym-1",
            sent_at=samples.NOW,
            code="switch.started",
            severity=Severity.INFO,
            message=f"{asked.name}: movenet-multipose FP32 on GPU",
            facts={"id": asked.id},
        )
        publish(self._port, TOPICS.state, samples.state("gym-1", status=Status.SWITCHING).encode(), retain=True)
        publish(self._port, TOPICS.event, event.encode())
        assert self.done.wait(60)
        yield from switched("gym-1")(asked)


@contextmanager
def busy(broker: Broker) -> Iterator[tuple[Busy, Responder, Terminal]]:
    """A terminal in which a switch is waited for."""
    device = Busy(broker.port)
    command: list[str | Path] = [COMMAND, "set-device", "gym-1", "gpu", "--broker", f"127.0.0.1:{broker.port}"]
    with Responder(broker.port, "gym-1", device.answers) as box, Terminal(command) as terminal:
        try:
            yield device, box, terminal
        finally:
            device.done.set()


def test_one_line_says_what_the_device_is_doing(broker: Broker) -> None:
    """While it waits one line has the device's own words and the seconds; it is gone when the answer is there."""
    with busy(broker) as (device, _box, terminal):
        terminal.wait(lambda shown: "gym-1  set-device: movenet-multipose FP32 on GPU  1 s" in shown)
        device.done.set()
        assert terminal.end() == 0
        assert "movenet-multipose FP32 on GPU" not in terminal.shown
        assert "gym-1: set-device succeeded" in terminal.shown


def test_a_command_that_waits_its_turn(broker: Broker) -> None:
    """What the device does for somebody else is not told as ours."""
    with busy(broker) as (_device, _box, terminal):
        terminal.wait(lambda shown: "FP32 on GPU" in shown)
        command: list[str | Path] = [COMMAND, "set-device", "gym-1", "cpu", "--broker", f"127.0.0.1:{broker.port}"]
        with Terminal(command) as second:
            second.wait(lambda shown: "gym-1  is switching, ours waits its turn" in shown)
            publish(broker.port, TOPICS.event, samples.event("gym-1").encode())
            publish(broker.port, TOPICS.state, samples.state("gym-1", status=Status.BENCHMARKING).encode(), retain=True)
            second.wait(lambda shown: "gym-1  is benchmarking, ours waits its turn" in shown)


def test_ctrl_c_leaves_the_device_alone(broker: Broker) -> None:
    """Ctrl-C while waiting says that the device goes on, how to look and how to end it, and is exit 130."""
    with busy(broker) as (device, box, terminal):
        terminal.wait(lambda shown: "FP32 on GPU" in shown)
        terminal.press(b"\x03")
        assert terminal.end() == 130
        shown = terminal.shown.replace("\n", " ")
        device.done.set()
        asked = box.request()
        assert box.asked.empty()
    assert "gym-1 goes on with set-device." in shown
    assert "`controller status gym-1`" in shown
    assert f"controller cancel gym-1 {asked.id}" in shown
    assert "Traceback" not in shown


def test_a_bar_shows_how_far_a_job_is(broker: Broker) -> None:
    """A followed job has a bar with its step and how far it is, which is gone when it has ended."""

    def answers(asked: Asked) -> list[Reply]:
        publish_job(broker.port, job())
        return [reply("gym-1", asked, ReplyStatus.ACCEPTED, result={"job": "quantize-1"})]

    command: list[str | Path] = [COMMAND, "quantize", "gym-1", "--broker", f"127.0.0.1:{broker.port}"]
    with Responder(broker.port, "gym-1", answers), Terminal(command) as terminal:
        terminal.wait(lambda shown: "quantize: recording 120 of 300 frames" in shown and "25 %" in shown)
        terminal.press(b"\x03")
        assert terminal.end() == 130
        assert "gym-1 goes on with quantize-1." in terminal.shown


def test_nothing_moves_in_a_pipe(broker: Broker) -> None:
    """Without a terminal standard error stays empty."""
    with Responder(broker.port, "gym-1", switched("gym-1")):
        done = controller("set-device", "gym-1", "CPU", "--broker", f"127.0.0.1:{broker.port}")
    assert (done.returncode, done.stderr) == (0, "")
