"""A TCP proxy on loopback that can stop reading, or swallow everything: a stalled link and a dead peer."""

import select
import socket
import threading
import time
from contextlib import suppress
from typing import Final, Self

CHUNK: Final = 4096


class Proxy:
    """Forwards between whoever connects to ``port`` and the broker, until :meth:`stall`."""

    def __init__(self, target_port: int, *, port: int = 0) -> None:
        self._target = ("127.0.0.1", target_port)
        self._server = socket.create_server(("127.0.0.1", port))
        # Small buffers on both sides, or the kernel would hide a stall behind megabytes.
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, CHUNK)
        self.port: int = self._server.getsockname()[1]
        self.taken = threading.Event()
        self._flowing = threading.Event()
        self._flowing.set()
        self._swallowing = False
        self._stop = threading.Event()
        self._bytes_per_s: int | None = None
        self._open: list[socket.socket] = [self._server]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._flowing.set()
        self._threads[0].join(5)
        self._server.close()  # first, as of a process that dies: whoever comes now must not find half a broker
        for held in self._open[1:]:
            held.close()
        for thread in self._threads[1:]:
            thread.join(5)

    def stall(self) -> None:
        """Read no more, in either direction; the connections stay open."""
        self._flowing.clear()

    def swallow(self) -> None:
        """Read everything and pass nothing on; the connections stay open."""
        self._swallowing = True

    def resume(self) -> None:
        """Let it flow again; what was swallowed is gone."""
        self._swallowing = False
        self._flowing.set()

    def throttle(self, bytes_per_s: int | None) -> None:
        """Let so much through a second, both directions together; None for all there is."""
        self._bytes_per_s = bytes_per_s

    def cut(self) -> None:
        """Throw away what is open and what has not got through."""
        for held in self._open[1:]:
            with suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)
            held.close()
        del self._open[1:]

    def _accept(self) -> None:
        while not self._stop.is_set():
            if not select.select([self._server], [], [], 0.05)[0]:
                continue
            near, _ = self._server.accept()
            try:
                far = socket.create_connection(self._target)
            except OSError:  # nobody is there: whoever came is told so
                near.close()
                continue
            self._open += [near, far]
            thread = threading.Thread(target=self._pump, args=(near, far), daemon=True)
            self._threads.append(thread)
            thread.start()
            self.taken.set()

    def _pump(self, near: socket.socket, far: socket.socket) -> None:
        other, open_ends = {near: far, far: near}, [near, far]
        try:
            while not self._stop.is_set():
                self._flowing.wait()
                for ready in select.select(open_ends, [], [], 0.05)[0]:
                    if not self._flowing.is_set():
                        break
                    data = ready.recv(CHUNK)
                    if self._swallowing:
                        if not data:  # a broker gives up whom it does not hear: that is swallowed too
                            open_ends.remove(ready)
                        continue
                    if not data:
                        return
                    other[ready].sendall(data)
                    if self._bytes_per_s is not None:
                        time.sleep(len(data) / self._bytes_per_s)
        except (OSError, ValueError):  # closed by either end, or by leaving
            return
        finally:
            near.close()
            far.close()
