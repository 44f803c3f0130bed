"""WebSockets before a broker's plain port, for brokers that have none of their own (RFC 6455)."""

import base64
import hashlib
import socket
import struct
import threading
from contextlib import suppress
from typing import IO, Final, Self

MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class WebSocketDoor:
    """Takes WebSocket connections on loopback and hands what they carry on to a port, and back."""

    def __init__(self, target_port: int, path: str = "/mqtt", *, host: str = "127.0.0.1") -> None:
        self._target = ("127.0.0.1", target_port)
        self._path = path
        self._server = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.port: int = self._server.getsockname()[1]
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()
        for held in self._open:
            with suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)
            held.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                self._open.append(near)
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with suppress(OSError, EOFError), near:
            lines = near.makefile("rb")
            if not (line := lines.readline()):  # somebody only looked whether we are there
                return
            asked = line.split()[1].decode()
            said = [line.strip().split(b": ", 1) for line in iter(lines.readline, b"\r\n") if b": " in line]
            heads = {name.lower(): value for name, value in said}
            if asked != self._path or heads.get(b"sec-websocket-protocol") != b"mqtt":
                near.sendall(b"HTTP/1.1 404 Not Found\r\n\r\n")
                return
            near.sendall(welcome(heads[b"sec-websocket-key"]))
            with socket.create_connection(self._target) as far:
                self._open.append(far)
                threading.Thread(target=self._back, args=(far, near), daemon=True).start()
                while True:
                    head = _exactly(lines, 2)
                    size = head[1] & 127
                    if size > 125:
                        size = int.from_bytes(_exactly(lines, 2 if size == 126 else 8))
                    mask, data = _exactly(lines, 4), _exactly(lines, size)
                    if head[0] & 15 == 8:
                        return
                    far.sendall(bytes(byte ^ mask[place % 4] for place, byte in enumerate(data)))

    @staticmethod
    def _back(far: socket.socket, near: socket.socket) -> None:
        with suppress(OSError):
            while data := far.recv(65_535):
                size = bytes([len(data)]) if len(data) < 126 else b"\x7e" + struct.pack("!H", len(data))
                near.sendall(b"\x82" + size + data)
            near.shutdown(socket.SHUT_RDWR)


def welcome(key: bytes) -> bytes:
    """The answer to a handshake with this key."""
    return b"".join(
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
            b"Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Accept: ",
            base64.b64encode(hashlib.sha1(key + MAGIC).digest()),
            b"\r\n\r\n",
        )
    )


def _exactly(lines: IO[bytes], size: int) -> bytes:
    """So many bytes. Raises EOFError."""
    data = lines.read(size)
    if len(data) < size:
        raise EOFError
    return data
