"""What a person sees in a terminal while a device is busy; a responder stands for its agent."""

import io
import json
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, TextColumn

from agent.wire.commands import JobStatus, Reply, ReplyStatus
from agent.wire.messages import Event, Severity, Status
from agent.wire.topics import Topics
from controller.client.request import Order, Request
from controller.client.target import Target
from controller.commands.access import open_session
from controller.commands.options import Given
from controller.terminal import progress
from tests import samples
from tests.broker import Broker, publish
from tests.controller.conftest import COMMAND, controller
from tests.controller.responder import Asked, Responder, job, publish_job, put_member, reply, switched
from tests.controller.test_jobs import running
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


def word_of(code: str, message: str, command_id: str) -> Event:
    """What a box says of a command it has."""
    facts: dict[str, str | int | float | bool | None] = {"id": command_id}
    return Event(
        device_id="gym-1", sent_at=samples.NOW, code=code, severity=Severity.INFO, message=message, facts=facts
    )


def test_silence_is_told_after_seconds_and_how_far_it_is_now_and_then(
    broker: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a terminal: once that a box has not acknowledged the command, and every half minute what it does."""
    given = Given({"broker": f"127.0.0.1:{broker.port}"})
    with Responder(broker.port, "gym-1", lambda _: []), open_session(given) as session:
        request = Request(session, Target("gym-1"), Order("set-device", {"device": "CPU"}, 150.0))
        request.send()
        with progress.Waiting(request) as waiting:
            waiting.look()
            assert capsys.readouterr().err == ""
            request.sent_at -= 10
            waiting.look()
            assert "gym-1: no word within 10 s that it has the command" in capsys.readouterr().err
            waiting.look()
            assert capsys.readouterr().err == ""
            request.sent_at -= 30
            waiting.look()
            assert capsys.readouterr().err == "gym-1  sent  40 s\n"


def test_a_box_that_has_the_command_is_not_silent(broker: Broker) -> None:
    """An event with the command's id acknowledges it, and says in its words what the box does; others do not."""
    given = Given({"broker": f"127.0.0.1:{broker.port}"})
    with Responder(broker.port, "gym-1", lambda _: []) as box, open_session(given) as session:
        request = Request(session, Target("gym-1"), Order("set-device", {"device": "CPU"}, 150.0))
        request.send()
        box.request()
        publish(broker.port, TOPICS.event, word_of("switch.done", "of another", "another").encode())
        assert list(request.silent) == ["gym-1"]
        publish(broker.port, TOPICS.event, word_of("command.accepted", "after 1 other", request.id).encode())

        def heard() -> None:
            if request.said:
                raise StopIteration

        with pytest.raises(StopIteration):
            request.collect(heard, every_s=0.05)
    assert not request.silent
    assert (request.waiting, request.said["gym-1"].message) == (("gym-1",), "after 1 other")
    assert progress.doing(request, "gym-1") == "after 1 other"
    assert "that it has the command" not in request.outcomes()[0].silence


def test_nobody_listens(broker: Broker) -> None:
    """Where the broker knows of nobody who takes the commands it is said in seconds, not minutes."""
    put_member(broker.port, "gym-1")
    done = controller("set-device", "gym-1", "CPU", "--json", "--broker", f"127.0.0.1:{broker.port}")
    assert done.returncode == 3
    assert (
        "no answer within 5 s: the broker says that nobody takes its commands"
        in json.loads(done.stdout)["error"]["message"]
    )


def test_a_followed_job_is_told_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first line has the job's id, others follow now and then; its end is told by what prints the result."""
    with progress.Bars() as bars:
        bars.update(job())
        assert capsys.readouterr().err == "gym-1: quantize-1 at 25%: recording 120 of 300 frames\n"
        bars.update(job(progress=0.3))
        assert capsys.readouterr().err == ""
        monkeypatch.setattr(progress, "SAY_S", 0.0)
        bars.update(job(progress=0.5))
        assert "quantize-1 at 50%" in capsys.readouterr().err
        bars.update(job(status=JobStatus.SUCCEEDED, progress=1.0))
        assert capsys.readouterr().err == ""


@pytest.mark.parametrize("as_json", [False, True])
def test_ctrl_c_while_the_broker_says_nothing(*, as_json: bool) -> None:
    """Before anything is heard it is exit 130 too, which is what the help says; whoever reads JSON reads why."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        words = ["list", "--broker", f"127.0.0.1:{mute.getsockname()[1]}", "--timeout", "600"]
        with running(*words, *(["--json"] if as_json else [])) as process, mute.accept()[0]:
            process.send_signal(signal.SIGINT)
            out, errors = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    if as_json:
        assert json.loads(errors)["error"]["exit_code"] == 130
    else:
        assert errors.strip() == ""


def test_a_narrow_terminal_cuts_nothing_of_what_is_followed() -> None:
    """A job's step is broken between words above its bar, at any width."""
    screen = Console(file=io.StringIO(), width=40, force_terminal=True, color_system=None)
    step = "the-box-behind-the-gym-00001  sweep: MULTI:SIMCPU,CPU INT8, run 3 of 20"
    steps = progress.Steps(BarColumn(bar_width=20), TextColumn("{task.percentage:>3.0f} %"), console=screen)
    steps.add_task(step, total=100, completed=42)
    screen.print(*steps.get_renderables())
    assert isinstance(screen.file, io.StringIO)
    shown = screen.file.getvalue()
    assert set(step.split()) <= set(shown.split())
    assert "42 %" in shown
    assert "\N{HORIZONTAL ELLIPSIS}" not in shown


def test_ctrl_c_amid_the_first_drawing_leaves_a_terminal_as_it_was() -> None:
    """The cursor is back, and what is said afterwards goes where it went before."""
    screen = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    live, before = Live(console=screen, auto_refresh=False), sys.stderr
    started = live.start

    def struck() -> None:
        started()
        raise KeyboardInterrupt

    live.start = struck  # type: ignore[method-assign,assignment]
    with pytest.raises(KeyboardInterrupt), progress.drawn(live):
        pytest.fail("it has not begun")
    assert sys.stderr is before
    assert isinstance(screen.file, io.StringIO)
    assert screen.file.getvalue().count("\x1b[?25l") == screen.file.getvalue().count("\x1b[?25h") == 1
