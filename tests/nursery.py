"""Where the tests' agents are born: a process that has imported what an agent imports, and forks itself.

What a program imports takes most of an agent's start, a second of the processor, and the tests start hundreds of them.
One that is born here is otherwise as one that was started: a session of its own, its own arguments, environment, folder
and outputs, and nothing before it but imports. What is promised of a start itself is tried on one that was started.
"""

import atexit
import gc
import json
import os
import runpy
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
REQUEST_BYTES_MAX: Final = 1 << 20
WANTED: Final = ("agent.app", "agent.cli", *(f"agent.commands.{name}" for name in ("check_config", "doctor", "run")))
"""What is imported beforehand."""


class Child:
    """A process that was born in the nursery: what of :class:`subprocess.Popen` the tests use."""

    def __init__(self, answers: socket.socket) -> None:
        self._answers = answers
        self._lock = threading.Lock()
        self.returncode: int | None = None
        self.pid = int(answers.recv(64))

    def poll(self) -> int | None:
        """The exit code, negative after a signal; None while it runs."""
        with self._lock:
            if self.returncode is None and select.select([self._answers], [], [], 0)[0]:
                self.returncode = int(self._answers.recv(64))
                self._answers.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; the exit code. Raises TimeoutExpired."""
        with self._lock:
            running = self.returncode is None
        if running:
            select.select([self._answers], [], [], timeout)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The tests' end: starts the other process with the first child, which ends with this one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server: tuple[socket.socket, subprocess.Popen[bytes]] | None = None

    def bear(self, words: Sequence[str], environment: dict[str, str], out: int, errors: int) -> Child:
        """Have ``python`` run the words, ``-m`` and a module or ``-c`` and a program first, with these outputs."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = json.dumps({"words": words, "environment": environment}).encode()
        with theirs, self._lock:
            if self._server is None:
                self._server = self._open()
                atexit.register(self._close, *self._server)
            socket.send_fds(self._server[0], [request], [theirs.fileno(), out, errors])
        return Child(ours)

    @staticmethod
    def _open() -> tuple[socket.socket, subprocess.Popen[bytes]]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, REQUEST_BYTES_MAX)
        with theirs:
            server = subprocess.Popen(
                [sys.executable, "-m", "tests.nursery", str(theirs.fileno())],
                cwd=ROOT,
                # Threads do not survive a fork: numpy is to start none.
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        return ours, server

    @staticmethod
    def _close(control: socket.socket, server: subprocess.Popen[bytes]) -> None:
        control.close()
        server.wait(10)


@dataclass(frozen=True, slots=True)
class Birth:
    """What becomes of a child."""

    words: list[str]
    environment: dict[str, str]
    out: int
    errors: int

    def live(self) -> None:
        """Be the program."""
        os.dup2(self.out, 1)
        os.dup2(self.errors, 2)
        os.close(self.out)
        os.close(self.errors)
        os.environ.clear()
        os.environ.update(self.environment)
        kind, program, *arguments = self.words
        sys.argv = [kind, *arguments]
        if kind == "-m":
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        else:
            exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})


def serve(control: socket.socket) -> Birth | None:
    """Bear children until the tests have ended, and tell of each when it has; in the child, what it is to be."""
    ready = selectors.DefaultSelector()
    ready.register(control, selectors.EVENT_READ)
    children: dict[int, tuple[int, socket.socket]] = {}
    while True:
        for key, _ in ready.select():
            if key.fileobj is not control:
                pidfd = key.fd
                pid, answers = children.pop(pidfd)
                ready.unregister(pidfd)
                os.close(pidfd)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                with answers:
                    answers.send(b"%d" % code)
                continue
            request, fds, *_rest = socket.recv_fds(control, REQUEST_BYTES_MAX, 3)
            if not request:
                for pid, _ in children.values():
                    os.kill(pid, signal.SIGKILL)
                return None
            answers_fd, out, errors = fds
            answers = socket.socket(fileno=answers_fd)
            if (pid := os.fork()) == 0:
                os.setsid()
                with answers:
                    answers.send(b"%d" % os.getpid())
                ready.close()
                control.close()
                for pidfd, (_, others) in children.items():
                    os.close(pidfd)
                    others.close()
                return Birth(**json.loads(request), out=out, errors=errors)
            os.close(out)
            os.close(errors)
            pidfd = os.pidfd_open(pid)
            children[pidfd] = pid, answers
            ready.register(pidfd, selectors.EVENT_READ)


def main() -> None:
    """Entry point."""
    for name in WANTED:
        __import__(name)
    gc.collect()
    gc.freeze()  # so that no collection in a child writes to all it shares with us
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "a thread would not survive the fork"
    if (birth := serve(socket.socket(fileno=int(sys.argv[1])))) is not None:
        birth.live()


if __name__ == "__main__":
    main()
