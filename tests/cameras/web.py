"""Cameras behind web addresses: whatever a handler answers, on the loopback interface, with TLS where wanted."""

import base64
import hashlib
import http.server
import re
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from tests.capture.mjpeg import drawn

REALM: Final = "camera"
NONCE: Final = "dcd98b7102dd2f0e8b11d0f600bfb0c0"

Answer = Callable[["Handler"], None]


class Handler(http.server.BaseHTTPRequestHandler):
    """One request."""

    server: "Server"
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer as the camera does."""
        self.server.camera.requests.append(self.path)
        self.server.camera.log_ins += "Authorization" in self.headers
        with suppress(OSError):
            self.server.camera.answer(self)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def body(self, data: bytes, kind: str, status: int = 200) -> None:
        """Send a whole answer."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Server(http.server.ThreadingHTTPServer):
    """Ends with its camera, whoever is still connected."""

    daemon_threads = True
    block_on_close = False
    camera: "WebCamera"


class WebCamera:
    """A camera that answers every request with ``answer``."""

    def __init__(self, answer: Answer, certificate: tuple[Path, Path] | None = None) -> None:
        self.answer = answer
        self.requests: list[str] = []
        self.log_ins = 0
        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.camera = self
        self._scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self._scheme = "https"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def url(self, path: str = "/video", account: str = "", host: str = "127.0.0.1") -> str:
        """Address of a path."""
        return f"{self._scheme}://{account}{'@' if account else ''}{host}:{self._server.server_address[1]}{path}"


def stream(
    boundary: str = "frame",
    *,
    kind: str = "image/jpeg",
    length: bool = True,
    bad: Callable[[int], bool] = lambda _: False,
) -> Answer:
    """A ``multipart/x-mixed-replace`` of numbered pictures, fifty a second."""

    def answer(request: Handler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={boundary}")
        request.end_headers()
        request.close_connection = True
        for number in range(1, 1 << 14):
            jpeg = drawn(number)
            data = jpeg[: len(jpeg) // 2] if bad(number) else jpeg
            size = f"Content-Length: {len(data)}\r\n" if length else ""
            head = f"--{boundary.removeprefix('--')}\r\nContent-Type: {kind}\r\n{size}\r\n"
            request.wfile.write(head.encode() + data + b"\r\n")
            time.sleep(0.02)  # the camera's own rate

    return answer


def snapshots() -> Answer:
    """A picture for each request, numbered."""
    count = iter(range(1, 1 << 14))
    return lambda request: request.body(drawn(next(count)), "image/jpeg")


def guarded(answer: Answer, user: str, password: str, scheme: str) -> Answer:
    """Ask for an account first, by the "basic" or "digest" scheme."""

    def asking(request: Handler) -> None:
        given = request.headers.get("Authorization", "")
        if (_basic(user, password) if scheme == "basic" else _digest(request, user, password)) == _given(given, scheme):
            answer(request)
            return
        request.send_response(401)
        challenge = (
            f'Digest realm="{REALM}", nonce="{NONCE}", qop="auth"' if scheme == "digest" else f'Basic realm="{REALM}"'
        )
        request.send_header("WWW-Authenticate", challenge)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return asking


def _given(header: str, scheme: str) -> str:
    return header.removeprefix("Basic ") if scheme == "basic" else _fields(header).get("response", "")


def _fields(header: str) -> dict[str, str]:
    return dict(re.findall(r'(\w+)="?([^",]+)"?', header))


def _basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def _digest(request: Handler, user: str, password: str) -> str:
    fields = _fields(request.headers.get("Authorization", ""))
    first = hashlib.md5(f"{user}:{REALM}:{password}".encode()).hexdigest()
    second = hashlib.md5(f"GET:{fields.get('uri', '')}".encode()).hexdigest()
    between = f"{NONCE}:{fields.get('nc', '')}:{fields.get('cnonce', '')}:{fields.get('qop', '')}"
    return hashlib.md5(f"{first}:{between}:{second}".encode()).hexdigest()


def file_server(folder: Path) -> Answer:
    """Serve the files of a folder, ranges too, as a recorder does."""
    kinds = {".m3u8": "application/vnd.apple.mpegurl", ".ts": "video/mp2t", ".mp4": "video/mp4"}

    def answer(request: Handler) -> None:
        path = folder / request.path.lstrip("/")
        if not path.is_file():
            request.body(b"", "text/plain", 404)
            return
        data, first = path.read_bytes(), 0
        if asked := re.match(r"bytes=(\d+)-", request.headers.get("Range", "")):
            first = int(asked[1])
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        else:
            request.send_response(200)
        request.send_header("Content-Type", kinds.get(path.suffix, "application/octet-stream"))
        request.send_header("Accept-Ranges", "bytes")
        request.send_header("Content-Length", str(len(data) - first))
        request.end_headers()
        request.wfile.write(data[first:])

    return answer
