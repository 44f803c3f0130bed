"""A camera on the loopback interface that speaks MJPEG over HTTP and misbehaves on request."""

import base64
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from typing import Self
from urllib.parse import quote

import cv2

from tests.capture.pictures import picture


class Mode(Enum):
    """What the camera does with its pictures."""

    RUN = auto()
    STALL = auto()  # makes none
    HOLD = auto()  # makes them, and something on the way keeps them back
    FREEZE = auto()  # sends the same one again and again


def drawn(number: int) -> bytes:
    """Draw a picture that says its number, as a JPEG."""
    return cv2.imencode(".jpg", picture(number))[1].tobytes()


class MjpegCamera:
    """Numbered pictures, one every ``period_s``, to whoever asks; ``jpeg`` makes them of their numbers."""

    def __init__(
        self, period_s: float = 0.02, *, credentials: str | None = None, jpeg: Callable[[int], bytes] = drawn
    ) -> None:
        self.period_s = period_s
        self._jpeg = jpeg
        self.credentials = credentials
        self.status = 200
        self.number = 0
        self.made_s = [time.perf_counter()]
        """When each picture was made, by its number."""
        self.streams = 0
        self.asked = 0
        """Requests so far."""
        self._mode = Mode.RUN
        self._changed = threading.Condition()
        self._connections: list[socket.socket] = []
        self._port = 0
        self._server: socketserver.ThreadingTCPServer | None = None
        self.listen()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self.refuse()

    @property
    def url(self) -> str:
        user = f"{quote(self.credentials, safe=':')}@" if self.credentials else ""
        return f"http://{user}127.0.0.1:{self._port}/video"

    def set(self, mode: Mode) -> int:
        """Change what the camera does; returns the number of the newest picture made until then."""
        with self._changed:
            self._mode = mode
            return self.number

    def wait_for_number(self, number: int) -> None:
        """Wait until the camera has made this picture."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.number >= number, 10)

    def wait_for_streams(self, streams: int) -> None:
        """Wait until so many clients have been served since the start."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.streams >= streams, 10)

    def reset(self) -> None:
        """Break every connection with a TCP reset."""
        with self._changed:
            connections, self._connections = self._connections, []
        for connection in connections:
            with suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.shutdown(socket.SHUT_RD)
                connection.close()

    def refuse(self) -> None:
        """Stop listening and break every connection."""
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()
        self._server = None
        self.reset()

    def listen(self) -> None:
        """Listen, on the same port as before."""
        camera = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):
                    camera.serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            block_on_close = False

        self._server = Server(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        """Answer one client."""
        request = connection.recv(4096)
        if not request:
            return
        self.asked += 1
        status = 200 if self._admits(request) else 401
        if (status := max(status, self.status)) != 200:
            connection.sendall(
                f'HTTP/1.1 {status} No\r\nWWW-Authenticate: Basic realm="camera"\r\nContent-Length: 0\r\n\r\n'.encode()
            )
            return
        with self._changed:
            self._connections.append(connection)
            self.streams += 1
            self._changed.notify_all()
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n")
        held = b""
        while connection.fileno() >= 0:
            made, send = self._next_part()
            held += made
            if send:
                connection.sendall(held)
                held = b""

    def _admits(self, request: bytes) -> bool:
        if self.credentials is None:
            return True
        return base64.b64encode(self.credentials.encode()) in request

    def _next_part(self) -> tuple[bytes, bool]:
        """Return the next part of the stream, and whether it goes out now."""
        with self._changed:
            self._changed.wait(self.period_s)
            if self._mode is Mode.STALL:
                return b"", True
            if self._mode is not Mode.FREEZE:
                self.number += 1
                self.made_s.append(time.perf_counter())
                self._changed.notify_all()
            jpeg = self._jpeg(self.number)
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            return head.encode() + jpeg + b"\r\n", self._mode is not Mode.HOLD
