"""Connecting to a network camera."""

from typing import Final

from agent.capture.address import Stream, redact
from agent.capture.http import JpegStream, Snapshots, open_http, tls_options
from agent.capture.video import Opening, VideoReader, wants_hardware
from agent.config.tree import Camera

_TRANSPORTS: Final = {
    # FFmpeg asks for the first, and for the other where the camera refuses it.
    "auto": {"rtsp_transport": "tcp+udp", "rtsp_flags": "prefer_tcp"},
    "tcp": {"rtsp_transport": "tcp"},
    "udp": {"rtsp_transport": "udp"},
}
_PROBE: Final = {"analyzeduration": "500000", "fpsprobesize": "0"}
"""The stream's description says what it is; FFmpeg would look at a hundred pictures to learn their rate."""


def open_stream(stream: Stream, camera: Camera) -> VideoReader | JpegStream | Snapshots:
    """Connect within the configured time-outs. Raises :class:`agent.errors.CaptureError` with the cause."""
    address = redact(stream.url)
    if stream.url.lower().startswith("http"):
        return open_http(stream.url, address, camera)
    options = {**_PROBE, **_TRANSPORTS[camera.transport], **tls_options(camera)}
    timeouts = (camera.open_timeout_s, camera.read_timeout_s)
    opening = Opening(
        stream.url, address, options, *timeouts, named="@" in stream.url, hardware=wants_hardware(camera.decoder)
    )
    return VideoReader(opening, live=True, paced=False, finite=False)
