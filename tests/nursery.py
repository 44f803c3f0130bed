"""Where the tests' agents and commands are born: a process that has imported what they import, and forks itself.

What a program imports takes most of its start, of an agent a second of the processor, and the tests start hundreds.
One that is born here is otherwise as one that was started: a session of its own, its own arguments, environment, folder
and outputs, and nothing before it but imports. Where its libraries are those of the nursery, OpenVINO's plugins have
been asked for it too, which takes a process of its own, and as long as the rest of an agent's start. What is promised
of a start itself is tried on one that was started.
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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final

from agent.inference import plugins
from agent.lazy import Place

ROOT: Final = Path(__file__).parents[1]
BIN: Final = Path(sys.executable).parent
REQUEST_BYTES_MAX: Final = 1 << 20
PROGRAMS: Final = ("agent", "controller", "models")
ELSE: Final = ("agent.app", "models.getting.fetch")
"""What is imported beforehand, beside the programs and their commands."""
LIBRARIES: Final = ("LD_", "OCL_", "CL_", "ZE_", "OV_", "OPENVINO_")
"""Of variables that decide which libraries and drivers a process finds, the beginnings."""


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

    def run(
        self,
        words: Sequence[str | Path],
        environment: dict[str, str],
        *,
        cwd: Path | None = None,
        timeout_s: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run the words as :meth:`bear` does, to the end. Raises TimeoutExpired."""
        (our_out, out), (our_errors, errors) = os.pipe(), os.pipe()
        try:
            child = self.bear(words, environment, out, errors, cwd=cwd)
        finally:
            os.close(out)
            os.close(errors)
        said = ["", ""]

        def read(place: int, pipe: int) -> None:
            with os.fdopen(pipe) as file:
                said[place] = file.read()

        readers = [threading.Thread(target=read, args=each) for each in enumerate((our_out, our_errors))]
        for reader in readers:
            reader.start()
        try:
            code = child.wait(timeout_s)
        finally:
            child.kill()
            for reader in readers:
                reader.join()
        return subprocess.CompletedProcess(words, code, *said)

    def bear(
        self,
        words: Sequence[str | Path],
        environment: dict[str, str],
        out: int,
        errors: int,
        *,
        cwd: Path | None = None,
    ) -> Child:
        """Start one of our programs by its name, or what ``python`` is told: ``-m`` or ``-c``, then what to run."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        wanted = {"words": list(map(str, words)), "environment": environment, "folder": str(cwd or ROOT)}
        request = json.dumps(wanted).encode()
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


NURSERY: Final = Nursery()


@dataclass(frozen=True, slots=True)
class Birth:
    """What becomes of a child."""

    words: list[str]
    environment: dict[str, str]
    folder: str
    out: int
    errors: int

    def live(self) -> None:
        """Be the program."""
        os.dup2(self.out, 1)
        os.dup2(self.errors, 2)
        os.close(self.out)
        os.close(self.errors)
        if _libraries(self.environment) != _libraries(os.environ):
            plugins._left_out.cache_clear()
        os.environ.clear()
        os.environ.update(self.environment)
        os.chdir(self.folder)
        sys.modules["__main__"] = own = ModuleType("__main__")
        first, *others = self.words
        if first in PROGRAMS:
            sys.argv = [str(BIN / first), *others]
            sys.exit(import_module(f"{first}.cli").main())
        sys.argv = [first, *others[1:]]
        if first == "-m":
            runpy.run_module(others[0], run_name="__main__", alter_sys=True)
        else:
            exec(compile(others[0], "<string>", "exec"), vars(own))


def _libraries(environment: Mapping[str, str]) -> set[tuple[str, str]]:
    """What decides which libraries and drivers a process finds, but for the folder that OpenCV puts there itself."""
    return {
        (name, part)
        for name, value in environment.items()
        if name.startswith(LIBRARIES)
        for part in value.split(os.pathsep)
        if part and "/cv2/" not in part
    }


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
    for module in (*ELSE, *(f"{name}.cli" for name in PROGRAMS)):
        commands: dict[str, Place] = getattr(import_module(module), "COMMANDS", {})
        for place in commands.values():
            import_module(place.module)
    plugins.left_out()
    gc.collect()
    gc.freeze()  # so that no collection in a child writes to all it shares with us
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "a thread would not survive the fork"
    if (birth := serve(socket.socket(fileno=int(sys.argv[1])))) is not None:
        birth.live()


if __name__ == "__main__":
    main()
