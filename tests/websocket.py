"""WebSockets before a plain port, for brokers that have none of their own (RFC 6455), and TLS before either."""

import asyncio
import base64
import hashlib
import socket
import ssl
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


class TlsDoor:
    """Takes TLS connections on loopback and hands what they carry on to a port, and back."""

    def __init__(self, target_port: int, context: ssl.SSLContext) -> None:
        self._target_port = target_port
        self._context = context
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self) -> None:
        async with await asyncio.start_server(self._take, sock=self._server, ssl=self._context):
            await self._ended.wait()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _take(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            far, on = await asyncio.open_connection("127.0.0.1", self._target_port)
            await asyncio.gather(self._pump(near, on), self._pump(far, back))

    @staticmethod
    async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65_536):
                sink.write(data)
                await sink.drain()
        except OSError:  # either end is gone
            pass
        finally:
            sink.close()


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
