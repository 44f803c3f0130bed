"""What FFmpeg and HTTP say of a camera, in words for whoever stands before it: one cause, one cure."""

import logging
import re
from http import HTTPStatus
from typing import Final

import av
import av.error
import av.logging

from agent.errors import CaptureError

# FFmpeg's own lines are the only place where it says why; as an error's text they reach the log without passwords.
av.logging.set_level(av.logging.ERROR)
logging.getLogger("libav").addHandler(logging.NullHandler())
logging.getLogger("libav").propagate = False


class LoginError(CaptureError):
    """The camera refuses user or password. Many lock an account after a few attempts."""


_STATUS: Final[dict[type[av.error.FFmpegError], int]] = {
    av.error.HTTPBadRequestError: 400,
    av.error.HTTPUnauthorizedError: 401,
    av.error.HTTPForbiddenError: 403,
    av.error.HTTPNotFoundError: 404,
}
_FAILED: Final = re.compile(r"failed: (\d{3}) ")
_UNSUPPORTED_TRANSPORT: Final = 461
_TLS_WORDS: Final = ("certificate", "tls", "handshake")
LOGIN_CURE: Final = "set user and password of the camera in camera.source, percent-encoded: @ is %40, / is %2F"


def of_status(address: str, status: int, *, named: bool) -> CaptureError:
    """Say what an answer of HTTP or RTSP means; ``named`` is whether user and password were sent."""
    try:
        words = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        words = str(status)
    if status in (401, 403):
        which = "refuses this user and password" if named else "wants a user and a password"
        return LoginError(f"{address} {which} ({words})", hint=LOGIN_CURE)
    if status == 404:
        return CaptureError(
            f"{address} does not exist on the camera ({words})", hint="see the camera's manual for paths"
        )
    if status >= 500:
        return CaptureError(
            f"{address}: the camera answers with an error of its own ({words})", hint="restart the camera"
        )
    return CaptureError(f"{address}: the camera refuses ({words})", hint="see the camera's manual for its addresses")


def of_ffmpeg(error: av.error.FFmpegError, address: str, *, named: bool, waited_s: float | None = None) -> CaptureError:
    """Say what FFmpeg's error means. Its text holds the address, password included: nothing of it is quoted."""
    line = _line(error)
    status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 0)
    if not status and (told := _FAILED.search(line)) is not None:
        status = int(told[1])
    if status == _UNSUPPORTED_TRANSPORT:
        return CaptureError(
            f"{address}: the camera does not send this way (461 Unsupported transport)",
            hint='set camera.transport to "udp", "tcp" or "auto"',
        )
    if status:
        return of_status(address, status, named=named)
    if isinstance(error, av.error.ExitError | av.error.TimeoutError):
        within = f" within {waited_s:g} s" if waited_s is not None else ""
        return CaptureError(
            f"{address} did not answer{within}", hint="see whether the camera is on and in this network"
        )
    if any(word in line.lower() for word in _TLS_WORDS):
        return certificate(address, line.partition("] ")[2])
    return _of_system(error, address, line)


def _of_system(error: av.error.FFmpegError, address: str, line: str) -> CaptureError:
    if "resolve" in line:
        return CaptureError(f"{address}: the name of the camera is not known here", hint="write its IP address")
    if isinstance(error, av.error.ConnectionRefusedError):
        return CaptureError(f"{address} cannot be reached: Connection refused", hint="see whether the port is right")
    if isinstance(error, av.error.HTTPError):
        return CaptureError(f"{address}: the camera answers with an error of its own", hint="restart the camera")
    if isinstance(error, av.error.InvalidDataError):
        return CaptureError(f"{address} is not a video that can be decoded")
    if isinstance(error, OSError) and error.strerror:
        return CaptureError(f"{address} cannot be reached: {error.strerror}")
    return CaptureError(f"{address} cannot be read: {type(error).__name__}")


def certificate(address: str, why: str) -> CaptureError:
    """The camera's certificate is not one to send a password to."""
    return CaptureError(
        f"{address}: its certificate is not trusted ({why})",
        hint="put it, or its authority's, into camera.tls.ca_file; camera.tls.verify = false trusts anybody",
    )


def _line(error: av.error.FFmpegError) -> str:
    """The last line FFmpeg wrote, without the address."""
    log: tuple[int, str, str] | None = getattr(error, "log", None)
    return f"[{log[1]}] {log[2].strip()}" if log else ""
