"""An HTTP server on loopback that serves bytes and misbehaves as told."""

import re
import socket
import struct
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

Fault = Literal["404", "503", "truncated", "reset", "stalled", "short", "wrong", "whole"]
"""``short`` ends early without having told a length; ``whole`` ignores Range; the others are what they say."""


class FileServer(ThreadingHTTPServer):
    """Serves ``files`` by path. ``faults`` holds what befalls the next requests of a path, in order."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self.requests: list[tuple[str, str | None]] = []
        """Path and Range header of every request, in order."""
        self.stalling = threading.Event()
        """Set once a stalled response has sent its half."""
        self.release = threading.Event()
        """Ends every stall."""

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


@contextmanager
def serving() -> Iterator[FileServer]:
    server = FileServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.release.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: FileServer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.requests.append((self.path, asked))
        faults = self.server.faults[self.path]
        fault = faults.pop(0) if faults else None
        content = self.server.files.get(self.path)
        if content is None or fault in {"404", "503"}:
            self.send_error(503 if fault == "503" else 404)
            return
        if fault == "wrong":
            content = bytes(len(content))
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and fault != "whole" else 0  # type: ignore[index]
        if start >= len(content) > 0:
            self.send_error(416)
            return
        self._send_head(content, start, tell_length=fault != "short")
        body = content[start:]
        if fault in {"truncated", "reset", "stalled", "short"}:
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self._break_off(fault)
        else:
            self.wfile.write(body)

    def _send_head(self, content: bytes, start: int, *, tell_length: bool) -> None:
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if tell_length:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()

    def _break_off(self, fault: Fault | None) -> None:
        if fault == "stalled":
            self.server.stalling.set()
            self.server.release.wait()
        if fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
