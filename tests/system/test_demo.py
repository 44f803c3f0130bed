"""`agent demo`, as the newcomer starts it."""

import re
import signal
import socket
import sys
import threading
import urllib.request
from pathlib import Path

import psutil
import pytest

from tests.broker import Listener, free_port, publish
from tests.system.conftest import TOPICS
from tests.system.process import Born, Process
from tests.system.terminal import Terminal
from tests.system.test_files import count

TITLE = "edgepose demo: poses over MQTT"
CTRL_C = b"\x03"


def demo(*options: str) -> list[str | Path]:
    return [sys.executable, "-m", "agent", "demo", *options]


def test_the_demo_shows_people(tmp_path: Path) -> None:
    """Without a terminal, a network, a package manager or its wanted port, it finds people and writes them to a video.

    What it needs has been fetched before.
    """
    nowhere, video = f"http://127.0.0.1:{free_port()}", tmp_path / "demo.mp4"
    proxies = {name: nowhere for base in ("http_proxy", "https_proxy", "all_proxy") for name in (base, base.upper())}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = demo("--port", str(taken.getsockname()[1]), "--video", str(video))
        with Process(command, PATH=str(tmp_path), **proxies) as process:
            process.wait_out(" ms inference ")
            process.signal(signal.SIGINT)
            assert process.end(60) == 0, process.errors
    assert process.plain_errors == ""
    late = [entry["event"] for entry in process.log]
    assert set(late) <= {"agent.close_timed_out"}, "a busy machine may not finish the video in the time of the end"
    assert re.search(r"\d FPS .* ms inference .* persons", process.out[0])
    frames, with_people, at_once = map(int, re.findall(r"\d+", process.out[-1]))
    assert process.out[-1].endswith("at once.")
    assert 1 <= with_people <= frames
    assert at_once >= 2
    assert late or count(video) >= frames


def test_the_demo_ends_by_itself() -> None:
    """After --seconds it ends without being asked to, and says what it saw, be it nothing yet."""
    with Born(demo("--seconds", "1", "--port", str(free_port()))) as process:
        code = process.end(60)
    seen = "came over the broker" in process.out[-1]
    assert seen or "No people were found" in process.out[-1]
    assert code == (0 if seen else 1)


def test_the_demo_on_a_terminal() -> None:
    """A table shows what comes over the broker, no log line cuts through it, and Ctrl-C ends all with exit code 0."""
    port = free_port()
    with Terminal(demo("--port", str(port))) as terminal:
        shown = terminal.wait(lambda shown: "with people" in shown and "frames per second" in shown)
        assert shown.count(TITLE) == 1
        assert f"--broker localhost:{port} list" in shown
        publish(port, "edgepose/demo/state", b"nonsense")
        terminal.wait(lambda shown: "message.not_understood" in shown)
        processes = psutil.Process(terminal.popen.pid).children(recursive=True)
        assert processes, "the broker is a process of its own"
        terminal.press(CTRL_C)
        assert terminal.end() == 0
        shown = terminal.shown
    assert shown.count(TITLE) == 1
    assert re.search(r"^\S+ \[warning +\] message.not_understood", shown, re.MULTILINE)
    assert "Traceback" not in shown
    assert shown.rstrip().endswith("at once.")
    assert psutil.wait_procs(processes, timeout=30)[1] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_is_stopped_while_it_starts(number: signal.Signals, tmp_path: Path) -> None:
    """A signal before the first pose ends the demo cleanly too, its broker with it."""
    cold = {"EDGEPOSE_PATHS__CACHE": str(tmp_path), "EDGEPOSE_MODEL__INPUT__LONG_SIDE": "1024"}
    port, pause = free_port(), threading.Event()
    with Process(demo("--port", str(port)), **cold) as process:
        while not accepts(port):
            assert process.popen.poll() is None, process.errors
            pause.wait(0.02)
        with Listener(port) as listener:
            listener.wait(lambda seen: seen.topic == TOPICS.info)
            processes = psutil.Process(process.popen.pid).children(recursive=True)
            process.signal(number)
        assert process.end() == 0
    assert process.out[-1] == "Ended before anybody was found."
    assert process.errors == []
    assert psutil.wait_procs(processes, timeout=30)[1] == []


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def test_a_demo_that_cannot_start(tmp_path: Path) -> None:
    """What is wrong with the options is told in one line, and the broker is not left behind."""
    with Born(demo("--model", "nope", "--port", "65535", "--video", str(tmp_path / "demo.mp4"))) as process:
        assert process.end() == 1
    assert process.errors[0].startswith("Error: ")
    assert "nope" in process.errors[0]
    assert "Traceback" not in process.plain_errors


def test_the_demo_serves_the_page_too() -> None:
    """With --page it tells an address at which a browser finds the page, which ends with it."""
    command = ["env", "-u", "PYTEST_CURRENT_TEST", *demo("--page", "--port", str(free_port()))]
    with Process(command) as process:
        process.wait_out("The page: http://")
        (address,) = re.findall(r"The page: (http://127.0.0.1:(\d+)/)", "\n".join(process.out))
        opened = ended = False
        for _ in range(300):
            try:
                opened = urllib.request.urlopen(address[0], timeout=30).status == 200
                break
            except OSError:  # it is still starting
                threading.Event().wait(0.1)
        assert opened
        process.signal(signal.SIGINT)
        assert process.end(60) == 0, process.errors
    with socket.socket() as probe:
        ended = probe.connect_ex(("127.0.0.1", int(address[1]))) != 0
    assert ended
