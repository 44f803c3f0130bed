"""Opening a V4L2 camera: what is asked of it, and why it does not open."""

import errno
import os
import stat
from pathlib import Path
from typing import Final

from agent.capture import v4l2
from agent.capture.address import Device
from agent.capture.video import Opening, VideoReader, wants_hardware
from agent.config.tree import Camera
from agent.errors import CaptureError

OPEN_FAULTS: Final = {
    errno.EPERM: "not permitted by the service: its DeviceAllow does not hold, or the video module was loaded after it "
    "started; restart the service",
    errno.EACCES: "not permitted to this user, who has to be in the group `video`",
    errno.EBUSY: "another program uses it",
}
INPUT: Final = "video4linux2,v4l2"


def open_device(device: Device, camera: Camera) -> VideoReader:
    """Open a V4L2 camera with the configured format, size, rate and controls. Raises :class:`CaptureError`."""
    path = device.path
    if not Path(path).exists():
        raise CaptureError(f"there is no {path}", hint="`agent cameras` lists the cameras of this box")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        why = OPEN_FAULTS.get(error.errno or 0, error.strerror or "it cannot be opened")
        raise CaptureError(f"{path} does not open as a camera: {why}") from None
    try:
        options = _options(descriptor, path, camera)
    finally:
        os.close(descriptor)
    opening = Opening(
        path,
        path,
        options,
        camera.open_timeout_s,
        camera.read_timeout_s,
        format=INPUT,
        hardware=wants_hardware(camera.decoder),
    )
    return VideoReader(opening, live=True, paced=False, finite=False)


def _options(descriptor: int, path: str, camera: Camera) -> dict[str, str]:
    """What FFmpeg is to ask of the driver; sets the controls on the way."""
    if not stat.S_ISCHR(os.fstat(descriptor).st_mode) or not v4l2.captures(descriptor):
        raise CaptureError(f"{path} does not open as a camera: it is no camera", hint="`agent cameras` lists them")
    v4l2.set_controls(descriptor, path, camera.controls)
    options = {}
    if (fourcc := v4l2.choose(v4l2.formats(descriptor), camera.format)) is not None:
        options["input_format"] = fourcc
    if camera.width is not None and camera.height is not None:
        options["video_size"] = f"{camera.width}x{camera.height}"
    if camera.fps is not None:
        options["framerate"] = f"{camera.fps:g}"
    return options
