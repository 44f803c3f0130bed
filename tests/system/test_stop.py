"""SIGTERM and Ctrl-C: exit code 0 within two seconds, whatever the agent is doing; on a busy machine some more."""

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from agent.wire.messages import State, Status
from tests.broker import Broker, Listener, free_port
from tests.link.proxy import Proxy
from tests.system.conftest import TOPICS
from tests.system.process import Process, agent, started
from tests.system.study_faults import STOPPED_S


def stop(process: Process, number: signal.Signals) -> None:
    """Signal, and hold the promise against it."""
    process.signal(number)
    assert process.end(STOPPED_S) == 0
    assert process.plain_errors == ""
    assert process.log[-1]["event"] == "agent.stopped"


@contextmanager
def followed(broker: Broker, number: signal.Signals, **variables: str) -> Iterator[tuple[Listener, Process]]:
    """Run an agent until the block has seen what it waits for, stop it, and see that it said goodbye properly."""
    with Listener(broker.port) as listener:
        with agent(broker.port, **variables) as process:
            yield listener, process
            stop(process, number)
        listener.wait_for(TOPICS.availability, b"offline")
        last_state = max(at for at, seen in enumerate(listener.messages) if seen.topic == TOPICS.state)
        assert State.decode(bytes(listener.messages[last_state].payload)).status is Status.STOPPING
        assert listener.messages[-1].payload == b"offline", "something was said after the goodbye"
    with Listener(broker.port) as listener:
        assert listener.wait_for(TOPICS.availability, b"offline").retain


def status(wanted: Status, listener: Listener) -> None:
    listener.wait(lambda seen: seen.topic == TOPICS.state and State.decode(bytes(seen.payload)).status is wanted)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_while_it_runs(broker: Broker, number: signal.Signals) -> None:
    """A running agent says `stopping`, then `offline`, and is gone."""
    with followed(broker, number) as (listener, _process):
        listener.wait(lambda seen: seen.topic == TOPICS.keypoints)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_while_the_camera_lets_it_wait(broker: Broker, number: signal.Signals) -> None:
    """A camera that takes the connection and says nothing does not hold up the end."""
    with ExitStack() as stack, socket.create_server(("127.0.0.1", 0)) as mute:
        camera = {
            "EDGEPOSE_CAMERA__SOURCE": f"http://127.0.0.1:{mute.getsockname()[1]}/video",
            "EDGEPOSE_CAMERA__LOOP": "false",
            "EDGEPOSE_CAMERA__OPEN_TIMEOUT_S": "60",
        }
        with followed(broker, number, **camera) as (listener, _process):
            listener.wait(lambda seen: seen.topic == TOPICS.info)
            stack.enter_context(mute.accept()[0])


def test_while_it_compiles(broker: Broker, tmp_path: Path) -> None:
    """A network that is being compiled, which nothing can interrupt, does not hold up the end."""
    big = {"EDGEPOSE_MODEL__INPUT__LONG_SIDE": "1024", "EDGEPOSE_PATHS__CACHE": str(tmp_path / "cold")}
    with followed(broker, signal.SIGTERM, **big) as (_listener, process):
        process.wait_log("camera.opened")
    assert "engine.ready" not in [entry["event"] for entry in process.log]


def test_while_the_camera_is_lost(broker: Broker) -> None:
    """An agent that tries to reach its camera again ends as promptly as one that sees."""
    camera = {
        "EDGEPOSE_CAMERA__SOURCE": f"http://127.0.0.1:{free_port()}/video",
        "EDGEPOSE_CAMERA__LOOP": "false",
        "EDGEPOSE_CAMERA__OPEN_TIMEOUT_S": "0.5",
    }
    with followed(broker, signal.SIGINT, **camera) as (listener, _process):
        status(Status.CAMERA_LOST, listener)


def test_while_there_is_no_broker() -> None:
    """An agent nobody listens to ends as promptly."""
    with agent(free_port()) as process:
        process.wait_log("engine.ready")
        stop(process, signal.SIGTERM)


def test_while_the_broker_is_a_black_hole(broker: Broker) -> None:
    """A broker that takes no byte any more does not hold up the end, and publishes the will when it sees it."""
    with Proxy(broker.port) as proxy, Listener(broker.port) as listener:
        with agent(proxy.port) as process:
            listener.wait(lambda seen: seen.topic == TOPICS.keypoints)
            proxy.stall()
            stop(process, signal.SIGTERM)
        proxy.cut()
        listener.wait_for(TOPICS.availability, b"offline")


def test_before_there_is_an_agent() -> None:
    """A stop that comes while the program is still being loaded is no failure either."""
    with started(free_port(), EDGEPOSE_LOG__LEVEL="error") as process:
        proc, pause = Path(f"/proc/{process.popen.pid}"), threading.Event()
        while not takes(proc, signal.SIGTERM):
            pause.wait(0.005)
            assert process.popen.poll() is None
        assert "openvino" not in (proc / "maps").read_text()
        process.signal(signal.SIGTERM)
        assert process.end(STOPPED_S) == 0
        assert process.errors == []


def takes(proc: Path, number: signal.Signals) -> bool:
    """Whether the main thread leaves the signal to another one, as the kernel tells."""
    fields = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    return bool(int(fields["SigBlk"], 16) >> (number - 1) & 1)
