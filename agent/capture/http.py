"""Cameras behind a web address: a stream of JPEG pictures, one picture asked for again and again, or a video.

What the camera answers decides, not how its address is spelled. One request asks; user and password are sent only when
the camera wants them, and once: many cameras lock an account after a few wrong attempts.
"""

import threading
import time
from contextlib import closing
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

import requests
import urllib3
from requests.auth import AuthBase, HTTPBasicAuth, HTTPDigestAuth

from agent.capture import faults
from agent.capture.frame import Picture
from agent.capture.pixels import Stills
from agent.capture.video import Opening, VideoReader, wants_hardware
from agent.config.tree import Camera
from agent.errors import CaptureError

SNAPSHOT_FPS: Final = 5.0
"""How often a single picture is asked for where ``camera.fps`` does not say."""
_PART_MAX: Final = 64 << 20
"""Bytes of one picture, or of what should have been one."""
_LINE_MAX: Final = 4096
_CHUNK: Final = 1 << 16
_HLS_TYPES: Final = frozenset({"application/vnd.apple.mpegurl", "application/x-mpegurl", "audio/mpegurl"})
_HLS_SILENCE_S: Final = 15.0
"""A playlist gives pictures by the segment, seconds at a time."""
_JPEG_END: Final = b"\xff\xd9"
_OK: Final = 200

# Whoever writes camera.tls.verify = false knows.
urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)


class Visit:
    """An address, and how to ask it: account, certificate, time-outs."""

    def __init__(self, url: str, address: str, camera: Camera) -> None:
        parts = urlsplit(url)
        self.address = address
        self._account = (unquote(parts.username or ""), unquote(parts.password or "")) if parts.username else None
        host = parts.netloc.rpartition("@")[2]
        self._url = urlunsplit((parts.scheme, host, parts.path, parts.query, ""))
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy is for the internet, a .netrc for somebody's shell
        self._session.verify = str(camera.tls.ca_file) if camera.tls.ca_file else camera.tls.verify
        self._timeout = (camera.open_timeout_s, camera.read_timeout_s)

    def ask(self) -> requests.Response:
        """Send one request, and a second with the account where the camera wants it. Raises :class:`CaptureError`."""
        response = self._get()
        if response.status_code == 401 and self._account and self._session.auth is None:
            self._session.auth = self._login(response)
            response.close()
            response = self._get()
        if response.status_code != _OK:
            response.close()
            raise faults.of_status(self.address, response.status_code, named=self._account is not None)
        return response

    def close(self) -> None:
        """Close every connection."""
        self._session.close()

    def _login(self, response: requests.Response) -> AuthBase:
        assert self._account is not None
        user, password = self._account
        wanted = response.headers.get("WWW-Authenticate", "").lower()
        # As bytes: requests would write a name beyond Latin-1 as it cannot.
        return HTTPDigestAuth(user, password) if "digest" in wanted else HTTPBasicAuth(user.encode(), password.encode())

    def _get(self) -> requests.Response:
        try:
            return self._session.get(self._url, stream=True, timeout=self._timeout)
        except requests.exceptions.SSLError as error:
            raise faults.certificate(self.address, _tls_words(error)) from None
        except requests.exceptions.Timeout:
            raise CaptureError(f"{self.address} did not answer within {self._timeout[0]:g} s") from None
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise CaptureError(f"{self.address} cannot be reached: {_why(error)}") from None


def _why(error: BaseException) -> str:
    """The system's words at the bottom of a chain of errors; what lies above quotes the address."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror
        reason = getattr(seen, "reason", None) or (seen.args[0] if seen.args else None)
        seen = reason if isinstance(reason, BaseException) else seen.__cause__ or seen.__context__
    return "the connection broke"


def _tls_words(error: BaseException) -> str:
    text = str(error)
    for words in ("self-signed certificate", "certificate has expired", "Hostname mismatch", "IP address mismatch"):
        if words in text:
            return words
    return "certificate verify failed" if "CERTIFICATE_VERIFY_FAILED" in text else "no agreement on TLS"


def open_http(url: str, address: str, camera: Camera) -> "VideoReader | JpegStream | Snapshots":
    """Ask the address, and read what it turns out to be. Raises :class:`CaptureError`."""
    visit = Visit(url, address, camera)
    try:
        response = visit.ask()
        kind, _, rest = response.headers.get("Content-Type", "").partition(";")
        kind = kind.strip().lower()
        if kind.startswith("multipart/"):
            return JpegStream(visit, response, _boundary(rest))
        if kind.startswith("image/"):
            response.close()
            return Snapshots(visit, camera.fps or SNAPSHOT_FPS)
        response.close()
    except BaseException:
        visit.close()
        raise
    visit.close()
    if kind in ("text/html", "application/xhtml+xml"):
        raise CaptureError(
            f"{address} answers with a web page, not with video",
            hint="that is the camera's own page: its manual tells the address of the stream",
        )
    hls = kind in _HLS_TYPES or urlsplit(url).path.lower().endswith(".m3u8")
    return _open_video(url, address, camera, hls=hls, sized="Content-Length" in response.headers)


def _open_video(url: str, address: str, camera: Camera, *, hls: bool, sized: bool) -> VideoReader:
    options = tls_options(camera)
    silence_s = max(camera.read_timeout_s, _HLS_SILENCE_S) if hls else camera.read_timeout_s
    named = "@" in urlsplit(url).netloc
    opening = Opening(
        url,
        address,
        options,
        camera.open_timeout_s + (silence_s if hls else 0),
        silence_s,
        named=named,
        hardware=wants_hardware(camera.decoder),
    )
    # Of a playlist pictures come by the segment, of a recording as fast as the network carries them.
    return VideoReader(opening, live=not (hls or sized), paced=hls or sized, finite=sized and not hls)


def tls_options(camera: Camera) -> dict[str, str]:
    """FFmpeg's options for whom to trust."""
    options = {"tls_verify": str(int(camera.tls.verify or camera.tls.ca_file is not None))}
    return options | ({"ca_file": str(camera.tls.ca_file)} if camera.tls.ca_file else {})


def _boundary(parameters: str) -> bytes:
    for parameter in parameters.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name.lower() == "boundary":
            return value.strip('"').removeprefix("--").encode()
    return b""


class _JpegReader:
    """What the two kinds of JPEG cameras share."""

    paced = False
    finite = False
    codec = "mjpeg"
    software_because = ""
    interlaced = False
    key = True

    def __init__(self, visit: Visit, period_s: float) -> None:
        self._visit = visit
        self._stills = Stills()
        self._data = b""
        self.period_s = period_s
        self.position_s = 0.0
        self.arrived_s = 0.0
        self.damaged = 0

    def _arrived(self, data: bytes) -> None:
        now_s = time.perf_counter()
        self.position_s += now_s - self.arrived_s if self.arrived_s else 0.0
        self._data, self.arrived_s = data, now_s

    def retrieve(self) -> Picture | None:
        """Decode the picture grabbed; None when it is damaged."""
        picture = self._stills.decode(self._data)
        self.damaged += picture is None
        return picture


class JpegStream(_JpegReader):
    """``multipart/x-mixed-replace``: one picture after the other over one connection.

    The type that each part claims is not looked at: cameras write image/jpeg, image/jpg, or nothing.
    """

    def __init__(self, visit: Visit, response: requests.Response, boundary: bytes) -> None:
        super().__init__(visit, 1 / 25)
        self._response = response
        # With its line: two dashes alone stand in many a picture, and some cameras do not say what follows them.
        self._mark = b"\n--" + boundary
        self._buffer = bytearray()

    def grab(self) -> bool:
        """Wait for the next picture; False when the camera ends the stream. Raises :class:`CaptureError`."""
        began_s = time.perf_counter()
        try:
            part = self._part()
        except (TimeoutError, urllib3.exceptions.ReadTimeoutError):
            raise CaptureError(f"no frame for {time.perf_counter() - began_s:.1f} s") from None
        except (urllib3.exceptions.HTTPError, OSError, ValueError):
            return False
        if part is None:
            return False
        self._arrived(part)
        return True

    def close(self) -> None:
        """Close the connection."""
        self._response.close()
        self._visit.close()

    def _part(self) -> bytes | None:
        """Return the body of the next part that has one; None at the end of the stream."""
        while True:
            while (line := self._line()) is not None and not line.startswith(b"--"):
                pass
            size = None
            while line is not None and (line := self._line()):
                name, _, value = line.partition(b":")
                if name.strip().lower() == b"content-length" and value.strip().isdigit():
                    size = int(value)
            if line is None:
                return None
            body = self._unsized() if size is None else self._sized(size)
            if body is None or body:
                return body

    def _line(self) -> bytes | None:
        """Return the next line without its end, of a line without an end its beginning; None at the end."""
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > _LINE_MAX:  # no header: what is left of a picture
                self._buffer.clear()
            if not self._more():
                return None
        line = bytes(self._buffer[:end]).strip()
        del self._buffer[: end + 1]
        return line

    def _sized(self, size: int) -> bytes | None:
        if size > _PART_MAX:
            return None
        while len(self._buffer) < size:
            if not self._more():
                return None
        body = bytes(self._buffer[:size])
        del self._buffer[:size]
        return body

    def _unsized(self) -> bytes | None:
        """Read up to the next boundary, or to the end of a JPEG behind which nothing comes for now."""
        searched = 0
        while (end := self._buffer.find(self._mark, searched)) < 0:
            if self._buffer.rstrip(b"\r\n").endswith(_JPEG_END):
                end = len(self._buffer)
                break
            searched = max(0, len(self._buffer) - len(self._mark))
            if len(self._buffer) > _PART_MAX or not self._more():
                return None
        body = bytes(self._buffer[:end]).rstrip(b"\r\n")
        del self._buffer[:end]
        return body

    def _more(self) -> bool:
        """Wait for more of the stream; False at its end."""
        data = self._response.raw.read1(_CHUNK)
        self._buffer += data
        return bool(data)


class Snapshots(_JpegReader):
    """A picture that is asked for again and again, ``fps`` times a second at most."""

    def __init__(self, visit: Visit, fps: float) -> None:
        super().__init__(visit, 1 / fps)
        self._due_s = 0.0
        self._closed = threading.Event()

    def grab(self) -> bool:
        """Wait until the next picture is due, and fetch it. Raises :class:`CaptureError`."""
        now_s = time.perf_counter()
        if self._closed.wait(max(0.0, self._due_s - now_s)):
            return False
        self._due_s = max(self._due_s + self.period_s, time.perf_counter())
        try:
            with closing(self._visit.ask()) as response:
                data = _body(response)
        except (urllib3.exceptions.HTTPError, requests.exceptions.RequestException, OSError):
            raise CaptureError(f"{self._visit.address} broke off amid a picture") from None
        self._arrived(data)
        return True

    def close(self) -> None:
        """Ask no more."""
        self._closed.set()
        self._visit.close()


def _body(response: requests.Response) -> bytes:
    body = bytearray()
    for chunk in response.iter_content(_CHUNK):
        body += chunk
        if len(body) > _PART_MAX:
            raise OSError("too large for a picture")
    return bytes(body)
