"""What is sent to systemd's socket, and what counts as progress."""

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from agent.service.systemd import Heart, Notifier, Signs


@pytest.fixture(params=["path", "abstract"])
def listening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A socket such as systemd's, and its name as systemd writes it."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@edgepose-notify-{os.getpid()}"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listener:
        listener.bind(name.replace("@", "\0"))
        listener.settimeout(60)
        yield listener, name


def test_assignments_are_one_datagram(listening: tuple[socket.socket, str]) -> None:
    """What is told together arrives together, on a socket with a path and on an abstract one."""
    listener, name = listening
    Notifier({"NOTIFY_SOCKET": name}).tell("READY=1", "STATUS=läuft")
    assert listener.recv(4096) == "READY=1\nSTATUS=läuft".encode()


def test_nobody_listens(tmp_path: Path) -> None:
    """Without systemd, or with a socket that is gone, telling does nothing."""
    assert not Notifier({})
    Notifier({}).tell("READY=1")
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).tell("READY=1")


def test_a_full_socket_holds_nobody_up(listening: tuple[socket.socket, str]) -> None:
    """A systemd that does not read costs messages, not the supervisor."""
    listener, name = listening
    notifier = Notifier({"NOTIFY_SOCKET": name})
    for _ in range(10_000):
        notifier.tell("WATCHDOG=1")
    assert listener.recv(4096) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "10000000"}, 10.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "1"}, None),
    ],
)
def test_the_watchdog_of_this_process(variables: dict[str, str], seconds: float | None) -> None:
    """A watchdog is kept if systemd set one for this very process."""
    assert Notifier(variables).watchdog_s == seconds


FLOWING = Signs(link_alive=True, begun=0, finished=0, looking=True, camera_lost=False, job_news=None)
LOST = replace(FLOWING, camera_lost=True)
PAUSED = replace(FLOWING, looking=False)
JOB = replace(PAUSED, job_news=0)


def beats(*moments: tuple[float, Signs]) -> list[bool]:
    """Answers of a heart that waits 10 s for a frame and 100 s for a job, asked at these seconds."""
    heart = Heart(0.0, 10.0, 100.0)
    return [heart.beats(signs, now_s) for now_s, signs in moments]


def frames(signs: Signs, begun: int, finished: int) -> Signs:
    return replace(signs, begun=begun, finished=finished)


def test_frames_are_progress() -> None:
    """It beats as long as frames are finished, however many are on the device."""
    assert (
        beats((2, frames(FLOWING, 12, 10)), (4, frames(FLOWING, 22, 20)), (900, frames(FLOWING, 23, 21))) == [True] * 3
    )


@pytest.mark.parametrize("signs", [FLOWING, LOST, PAUSED, JOB], ids=["flowing", "lost", "paused", "job"])
def test_a_device_that_owes_an_answer(signs: Signs) -> None:
    """A frame that was begun and none finished since stops it at once, whatever else goes on."""
    assert beats((2, frames(signs, 12, 10)), (4, frames(signs, 12, 10))) == [True, False]


@pytest.mark.parametrize("signs", [FLOWING, LOST, PAUSED, JOB], ids=["flowing", "lost", "paused", "job"])
def test_a_link_without_its_thread(signs: Signs) -> None:
    """Without the link's thread the agent is deaf, and no frame makes up for it."""
    assert beats((2, replace(frames(signs, 12, 10), link_alive=False))) == [False]


@pytest.mark.parametrize("signs", [LOST, PAUSED], ids=["lost", "paused"])
def test_nothing_to_look_at(signs: Signs) -> None:
    """A camera known to be lost, or a pause, may last for ever; after it a frame has its time again."""
    after = replace(FLOWING, begun=10, finished=10)
    at_rest = frames(signs, 10, 10)
    asked = [(2.0, at_rest), (5000.0, at_rest), (9000.0, at_rest), (9010.0, after), (9011.0, after)]
    assert beats(*asked) == [True, True, True, True, False]


def test_a_camera_that_is_silent_and_not_known_to_be_lost() -> None:
    """No frame from a camera that counts as live is no progress: the loss went unnoticed."""
    assert beats((2, FLOWING), (10, FLOWING), (11, FLOWING)) == [True, True, False]


def test_a_job_goes_on_as_long_as_it_tells() -> None:
    """A job that has the box to itself may take hours if it tells of itself, and is hung if it does not."""
    told = [replace(JOB, job_news=news) for news in range(3)]
    assert beats((90, told[0]), (180, told[1]), (270, told[2]), (369, told[2]), (371, told[2])) == [True] * 4 + [False]


def test_a_job_after_another() -> None:
    """The time of a job counts from its beginning, not from the end of the one before."""
    assert beats((90, JOB), (5000, frames(FLOWING, 10, 10)), (5002, frames(JOB, 10, 10))) == [True] * 3
