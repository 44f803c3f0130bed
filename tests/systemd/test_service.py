"""The agent under a stand-in for systemd: when it is ready, what feeds the watchdog, what stops feeding it."""

import signal
from pathlib import Path

import pytest

from agent.wire.topics import Topics
from tests.broker import Broker, Listener, free_port
from tests.capture.pictures import write_folder
from tests.commander import Commander
from tests.systemd.conftest import Service
from tests.systemd.stand_in import StandIn

TOPICS = Topics("demo")
FEEDS = 12
"""At four feeds within the watchdog's time: three times what one that stopped would survive."""


def goes_on(running: StandIn, after: int) -> None:
    """It is fed again and again from here on, and has not been ended."""
    for _ in range(FEEDS):
        after = running.wait("WATCHDOG=1", after=after)
    assert not [event for _s, event in running.events if event.startswith(("watchdog", "exit"))]


def poses(listener: Listener) -> None:
    """Wait for the next pose from now on."""
    listener.messages.clear()
    listener.wait(lambda seen: seen.topic == TOPICS.keypoints, timeout_s=60)


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_ready_when_the_engine_is_built(service: Service, *, abstract: bool) -> None:
    """It asks for time while it compiles, is ready with an engine, says what runs, and that it is stopping."""
    running = service(abstract=abstract)
    ready = running.wait("READY=1")
    before = [event for _s, event in running.events[: ready - 1]]
    assert "EXTEND_TIMEOUT_USEC=30000000" in before
    assert any(event.startswith("STATUS=starting since ") for event in before)
    running.wait("WATCHDOG=1", after=ready)
    running.wait(r"STATUS=running since \S+ UTC: \S+ FPS; movenet-multipose FP32 on CPU$")
    running.stop()
    assert [event for _s, event in running.events[-3:]] == ["STOPPING=1", "STATUS=stopping", "exit 0"]


def test_without_systemd_nothing_is_told(service: Service, tmp_path: Path) -> None:
    """An agent that is not told of a socket starts and stops as ever."""
    running = service(
        NOTIFY_SOCKET="",
        EDGEPOSE_CAMERA__SOURCE=str(write_folder(tmp_path / "pictures", 3)),
        EDGEPOSE_CAMERA__LOOP="false",
        EDGEPOSE_CAMERA__PACE="fast",
    )
    running.wait("exit 0")
    assert [event.split()[0] for _s, event in running.events[:2]] == ["start", "exit"]


def test_a_configuration_that_is_wrong_is_never_ready(service: Service) -> None:
    """A faulty configuration ends the process before it says anything to systemd."""
    running = service(EDGEPOSE_MQTT__PORT="none")
    running.wait("exit 1")
    assert [event.split()[0] for _s, event in running.events[:2]] == ["start", "exit"]


@pytest.mark.parametrize("seam", ["inference", "supervisor"])
def test_what_hangs_is_ended_and_poses_come_back(service: Service, broker: Broker, flag: Path, seam: str) -> None:
    """An inference, or a supervisor, that hangs stops the feeding: systemd ends the process, and the next one sees."""
    running = service(seam)
    running.wait("READY=1")
    with Listener(broker.port) as listener:
        poses(listener)
        flag.touch()
        ended = running.wait(f"exit {-signal.SIGABRT}", after=running.wait("watchdog"))
        listener.messages.clear()
        running.wait("READY=1", after=ended)
        poses(listener)
    assert "most recent call first" in (flag.parent / "log").read_text()


def test_a_link_that_died_is_no_life(service: Service, broker: Broker, flag: Path) -> None:
    """Poses that nobody can hear, because the link's thread is gone, do not feed the watchdog."""
    running = service("link")
    running.wait("READY=1")
    flag.touch()
    broker.kill()
    ended = running.wait("exit", after=running.wait("watchdog"))
    broker.start()
    running.wait("WATCHDOG=1", after=running.wait("READY=1", after=ended))


def test_a_lost_camera_is_waited_for(service: Service) -> None:
    """A camera known to be lost is no reason to be ended."""
    address = f"http://127.0.0.1:{free_port()}/video"
    running = service(watchdog="1s", EDGEPOSE_CAMERA__SOURCE=address, EDGEPOSE_CAMERA__LOOP="false")
    running.wait("READY=1")
    goes_on(running, running.wait("STATUS=camera lost since "))


def test_a_broker_that_is_away_is_waited_for(service: Service, broker: Broker) -> None:
    """Without a broker the agent is ready and goes on."""
    broker.kill()
    running = service(watchdog="1s")
    goes_on(running, running.wait("READY=1"))


def test_a_pause_may_last(service: Service, broker: Broker) -> None:
    """An agent that was paused is fed for as long as it is."""
    running = service(watchdog="1s")
    running.wait("READY=1")
    with Commander(broker.port, TOPICS) as commander:
        commander.ask("pause")
        goes_on(running, running.wait("STATUS=paused since "))
        commander.ask("resume")
        goes_on(running, running.wait("STATUS=running since ", after=len(running.events)))


def test_a_benchmark_may_take_its_time(service: Service, broker: Broker) -> None:
    """While a benchmark has the box to itself the watchdog is fed, and told how far it is."""
    running = service(watchdog="1s")
    running.wait("READY=1")
    with Commander(broker.port, TOPICS) as commander:
        commander.ask("benchmark", runs=3, frames=150)
        measuring = running.wait("STATUS=measuring since ")
        goes_on(running, measuring)
        assert "row 1 of 1, CPU FP32" in running.status
