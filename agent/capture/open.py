"""From the configuration to an open source."""

from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

from agent.capture.address import Clip, Device, Stream, parse, redact
from agent.capture.device import open_device
from agent.capture.frame import Notify, Source
from agent.capture.inline import InlineSource
from agent.capture.live import LiveSource
from agent.capture.reader import (
    DECODED_SUFFIXES,
    IMAGE_SUFFIXES,
    Feed,
    FolderReader,
    LoopingReader,
    Reader,
)
from agent.capture.stream import open_stream
from agent.capture.video import open_file, wants_hardware
from agent.config.tree import Camera
from agent.errors import CaptureError


def open_source(camera: Camera, *, resolve_clip: Callable[[str], Path], notify: Notify) -> Source:
    """Open what ``camera.source`` names; ``resolve_clip`` finds the file of ``clip:NAME``.

    Files and folders that must be lossless or go at pace "fast" are read in the caller's thread, everything else by a
    thread that keeps the newest frame. ``notify`` is called from any thread and must not close the source.
    Raises :class:`CaptureError` at once for a file or folder that is missing or unreadable and for a malformed
    address. A camera that does not answer is not an error: it is reported as lost and tried again.
    """
    feed = feed_of(camera, resolve_clip)
    if not feed.finite:
        return LiveSource(feed, camera, notify)
    _require_a_picture(feed)
    if camera.loop:
        feed = Feed(feed.address, partial(LoopingReader, feed.open), finite=True)
    if camera.waits:
        return InlineSource(feed, camera, notify)
    return LiveSource(feed, camera, notify)


def feed_of(camera: Camera, resolve_clip: Callable[[str], Path]) -> Feed:
    """What the configuration names. Raises :class:`CaptureError` for a file that is missing and a malformed address."""
    address = redact(camera.source)
    match parse(camera.source):
        case Device() as device:
            return Feed(address, lambda: open_device(device, camera), finite=False)
        case Stream() as stream:
            return Feed(address, lambda: open_stream(stream, camera), finite=False)
        case Clip(name):
            return Feed(address, _opener(resolve_clip(name), camera), finite=True)
        case path:
            return Feed(address, _opener(path, camera), finite=True)


def _opener(path: Path, camera: Camera) -> Callable[[], Reader]:
    if path.is_dir():
        return lambda: FolderReader(path, camera.folder_fps)
    if not path.exists():
        raise CaptureError(
            f"there is no {redact(str(path))}; expected a video file, a folder of images, /dev/videoN, "
            "a camera's number, an rtsp:// or http:// address, or clip:NAME",
            hint=f"a relative path starts at {Path.cwd()}" if not path.is_absolute() else "",
        )
    if not path.is_file():
        raise CaptureError(
            f"{redact(str(path))} is a pipe, a socket or a device; expected a video file, a folder of images, a camera "
            "or a stream",
            hint="send what comes through it as a stream, rtsp:// or http://",
        )
    return lambda: open_file(path, hardware=wants_hardware(camera.decoder))


def _require_a_picture(feed: Feed) -> None:
    with closing(feed.open()) as reader:
        while reader.grab():
            if reader.retrieve() is not None:
                return
        if reader.damaged:
            raise CaptureError(f"{feed.address} holds nothing that can be decoded")
        expected = f"images ({', '.join(sorted(IMAGE_SUFFIXES | DECODED_SUFFIXES))})"
        raise CaptureError(f"{feed.address} holds no {expected if isinstance(reader, FolderReader) else 'frames'}")
