"""`controller events`, while devices have something to tell."""

import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from agent.config.tree import Mqtt
from agent.link import Link
from agent.wire.messages import Event, Severity
from agent.wire.topics import Topics
from tests import samples
from tests.broker import Broker
from tests.controller.conftest import COMMAND, controller, environment, put_agent


@contextmanager
def telling(broker: Broker, device_id: str, *events: Event) -> Iterator[None]:
    """Tell the same events again and again, until left: nobody knows when a command has subscribed."""
    left = threading.Event()
    with Link(Mqtt(host=broker.host, port=broker.port), Topics(device_id)) as link:

        def work() -> None:
            while not left.wait(0.05):
                for event in events:
                    link.event(event.encode())

        worker = threading.Thread(target=work)
        worker.start()
        try:
            yield
        finally:
            left.set()
            worker.join()


def event(device_id: str, code: str, severity: Severity, message: str = "so it is") -> Event:
    return samples.event(device_id).model_copy(update={"code": code, "severity": severity, "message": message})


LOST = event("edge-1", "camera.lost", Severity.WARNING)
BACK = event("edge-1", "camera.back", Severity.INFO)
OTHER = event("hall", "agent.failed", Severity.ERROR)


def test_a_line_says_when_who_how_grave_and_what(broker: Broker) -> None:
    """For people an event is a line with time, device, severity, code and message, and steers no terminal."""
    evil = event("edge-1", "x.\x1b[2J", Severity.ERROR, "[bold]a\nb\x1b[31m")
    with telling(broker, "edge-1", LOST, evil):
        done = controller("events", "edge-1", "--count", "4", "--broker", f"127.0.0.1:{broker.port}")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    lost = next(line for line in lines if "camera.lost" in line)
    day, clock, *words = lost.split()
    local = LOST.sent_at.astimezone()
    assert (day, clock) == (f"{local:%Y-%m-%d}", f"{local:%H:%M:%S}")
    assert words == ["edge-1", "warning", "camera.lost", *LOST.message.split()]
    assert "\x1b" not in done.stdout
    assert any("[bold]a" in line for line in lines)


def test_json_lines_are_the_messages(broker: Broker) -> None:
    """--json prints each event on a line of its own as it stood on the wire; other devices' are left out."""
    put_agent(broker.port, "edge-1")
    with telling(broker, "hall", OTHER), telling(broker, "edge-1", LOST, BACK):
        done = controller("events", "edge-1", "--json", "--count", "6", "--broker", f"127.0.0.1:{broker.port}")
    told = [Event.decode(line.encode()) for line in done.stdout.splitlines()]
    assert (done.returncode, len(told)) == (0, 6)
    assert {each.code for each in told} == {"camera.lost", "camera.back"}
    assert json.loads(done.stdout.splitlines()[0])["facts"] == LOST.facts


def test_a_glob_and_a_severity_choose(broker: Broker) -> None:
    """A glob takes several devices, --severity what is at least that grave."""
    put_agent(broker.port, "edge-1")
    put_agent(broker.port, "hall")
    with telling(broker, "hall", OTHER), telling(broker, "edge-1", LOST, BACK):
        options = ("--json", "--count", "12", "--severity", "warning", "--broker", f"127.0.0.1:{broker.port}")
        done = controller("events", "*", *options)
    told = {(each["device_id"], each["code"]) for each in map(json.loads, done.stdout.splitlines())}
    assert told == {("edge-1", "camera.lost"), ("hall", "agent.failed")}


def test_a_device_that_comes_later_is_heard(broker: Broker) -> None:
    """A glob matches devices that were not there when the command was given."""
    put_agent(broker.port, "gym-01")
    command = [str(COMMAND), "events", "gym-*", "--json", "--count", "1", "--broker", f"127.0.0.1:{broker.port}"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process,
        telling(broker, "gym-02", event("gym-02", "agent.started", Severity.INFO)),
    ):
        out, _errors = process.communicate(timeout=30)
    assert json.loads(out)["device_id"] == "gym-02"


def test_nobody_of_that_name_and_a_quiet_device(broker: Broker) -> None:
    """A device nobody knows is exit code 3 with a hint; one that tells nothing in the time given is none."""
    put_agent(broker.port, "edge-1")
    address = f"127.0.0.1:{broker.port}"
    done = controller("events", "edge-2", "--seconds", "1", "--broker", address)
    assert done.returncode == 3
    assert "did you mean edge-1?" in done.stderr
    done = controller("events", "edge-1", "--seconds", "0.5", "--broker", address)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_ctrl_c_is_a_clean_end(broker: Broker) -> None:
    """Ctrl-C ends it with exit 0 and no traceback; each line has been there at once."""
    command = [str(COMMAND), "events", "edge-1", "--broker", f"127.0.0.1:{broker.port}"]
    put_agent(broker.port, "edge-1")
    with (
        telling(broker, "edge-1", LOST),
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
        ) as process,
    ):
        assert process.stdout is not None
        assert "camera.lost" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _out, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
