"""What a V4L2 camera can do, asked of its driver. Source: the Linux kernel's videodev2.h and its V4L2 API manual.

``ioctl`` is the one call into the kernel.
"""

import errno
import fcntl
import os
import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.errors import CaptureError

ioctl = fcntl.ioctl

QUERYCAP: Final = 0x80685600
ENUM_FMT: Final = 0xC0405602
ENUM_FRAMESIZES: Final = 0xC02C564A
ENUM_FRAMEINTERVALS: Final = 0xC034564B
QUERYCTRL: Final = 0xC0445624
S_CTRL: Final = 0xC008561C

_CAPABILITY: Final = struct.Struct("=16s32s32sIII12x")
_FORMAT: Final = struct.Struct("=III32sI16x")
_SIZE: Final = struct.Struct("=III6I8x")
_INTERVAL: Final = struct.Struct("=IIIII6I8x")
_CONTROL: Final = struct.Struct("=II32siiiiI8x")
_VALUE: Final = struct.Struct("=Ii")

_CAPTURES: Final = 0x1
_HAS_DEVICE_CAPS: Final = 0x80000000
_VIDEO_CAPTURE: Final = 1
_DISCRETE: Final = 1
_NEXT_CONTROL: Final = 0x80000000
_DISABLED: Final = 0x1
_MENU, _INTEGER, _BOOLEAN = 3, 1, 2

PIXEL_FORMATS: Final[Mapping[str, str]] = {
    "MJPG": "mjpeg",
    "JPEG": "mjpeg",
    "H264": "h264",
    "HEVC": "hevc",
    "NV12": "nv12",
    "YU12": "yuv420p",
    "YUYV": "yuyv422",
    "UYVY": "uyvy422",
    "GREY": "gray",
    "BGR3": "bgr24",
    "RGB3": "rgb24",
}
"""What FFmpeg calls a driver's pixel format."""


@dataclass(frozen=True, slots=True)
class Mode:
    """One size of one pixel format."""

    width: int
    height: int
    fps: tuple[float, ...]
    """Highest first; empty where the driver does not say."""


@dataclass(frozen=True, slots=True)
class Control:
    """Something that can be set: exposure, focus, gain."""

    id: int
    name: str
    minimum: int
    maximum: int
    default: int


def captures(descriptor: int) -> bool:
    """Whether this is a camera: one USB camera has device files that are none."""
    return _name(descriptor) is not None


def card(descriptor: int) -> str:
    """The camera's own name."""
    return _name(descriptor) or ""


def _name(descriptor: int) -> str | None:
    data = bytearray(_CAPABILITY.size)
    try:
        ioctl(descriptor, QUERYCAP, data)
    except OSError:
        return None
    _driver, name, _bus, _version, whole, device = _CAPABILITY.unpack(data)
    return _text(name) if (device if whole & _HAS_DEVICE_CAPS else whole) & _CAPTURES else None


def formats(descriptor: int) -> Sequence[str]:
    """The pixel formats as four letters each, in the driver's order."""
    found = (
        _FORMAT.unpack(data)[4]
        for data in _listed(descriptor, ENUM_FMT, lambda n: _FORMAT.pack(n, _VIDEO_CAPTURE, 0, b"", 0))
    )
    return [_fourcc(code) for code in found]


def modes(descriptor: int, fourcc: str) -> Sequence[Mode]:
    """The sizes of a pixel format and how fast each is; of a range its largest size."""
    code = _code(fourcc)
    found = []
    for data in _listed(descriptor, ENUM_FRAMESIZES, lambda n: _SIZE.pack(n, code, 0, *[0] * 6)):
        _, _, kind, first, second, _, _, height_max, _ = _SIZE.unpack(data)
        width, height = (first, second) if kind == _DISCRETE else (second, height_max)
        found.append(Mode(width, height, _rates(descriptor, code, width, height)))
        if kind != _DISCRETE:  # a range is one entry
            break
    return found


def _rates(descriptor: int, code: int, width: int, height: int) -> tuple[float, ...]:
    rates = set()
    for data in _listed(descriptor, ENUM_FRAMEINTERVALS, lambda n: _INTERVAL.pack(n, code, width, height, 0, *[0] * 6)):
        *_, kind, numerator, denominator, _, _, _, _ = _INTERVAL.unpack(data)
        if numerator:
            rates.add(round(denominator / numerator, 2))
        if kind != _DISCRETE:
            break
    return tuple(sorted(rates, reverse=True))


def controls(descriptor: int) -> Sequence[Control]:
    """What can be set, by the driver's order."""
    found: list[Control] = []
    last = 0
    while True:
        data = bytearray(_CONTROL.pack(last | _NEXT_CONTROL, 0, b"", 0, 0, 0, 0, 0))
        try:
            ioctl(descriptor, QUERYCTRL, data)
        except OSError:
            return found
        last, kind, name, minimum, maximum, _step, default, flags = _CONTROL.unpack(data)
        if kind in (_INTEGER, _BOOLEAN, _MENU) and not flags & _DISABLED:
            found.append(Control(last, control_name(_text(name)), minimum, maximum, default))


def control_name(told: str) -> str:
    """Turn a driver's name of a control into one that can be written: ``Exposure, Auto`` is ``exposure_auto``."""
    return re.sub(r"[^a-z0-9]+", "_", told.lower()).strip("_")


def set_controls(descriptor: int, path: str, wanted: Mapping[str, int]) -> None:
    """Set controls in the order given: many cameras take an exposure only after ``auto_exposure`` is off.

    Raises :class:`CaptureError` for a control that the camera does not have and for a value that it refuses.
    """
    there = {control.name: control for control in controls(descriptor)} if wanted else {}
    for name, value in wanted.items():
        if (control := there.get(name)) is None:
            raise CaptureError(
                f"camera.controls: {path} has no {name}; it has {', '.join(there) or 'none'}",
                hint="`agent cameras` lists the controls of every camera",
            )
        if not control.minimum <= value <= control.maximum:
            raise CaptureError(
                f"camera.controls: {name} = {value}, expected {control.minimum} to {control.maximum} for {path}"
            )
        try:
            ioctl(descriptor, S_CTRL, bytearray(_VALUE.pack(control.id, value)))
        except OSError as error:
            raise CaptureError(f"camera.controls: {path} refuses {name} = {value}: {error.strerror}") from None


def choose(there: Sequence[str], wanted: str | None) -> str | None:
    """FFmpeg's name of the pixel format to ask for; None leaves it to the driver.

    Unasked it is MJPG: uncompressed pictures of 1280x720 come through USB 2 about ten times a second.
    Raises :class:`CaptureError` for one that the camera does not have.
    """
    if wanted is not None and wanted not in there:
        raise CaptureError(f"camera.format: the camera has no {wanted}; it has {', '.join(there) or 'none'}")
    fourcc = wanted or next((known for known in ("MJPG", "JPEG") if known in there), None)
    if fourcc is not None and fourcc not in PIXEL_FORMATS:
        raise CaptureError(f"camera.format: {fourcc} cannot be decoded; expected one of {', '.join(PIXEL_FORMATS)}")
    return PIXEL_FORMATS[fourcc] if fourcc is not None else None


@dataclass(frozen=True, slots=True)
class Found:
    """A camera of this box."""

    path: str
    stable_path: str
    """The name that survives replugging, where there is one."""
    name: str
    fault: str
    """Why it cannot be opened by this user, or empty."""
    modes: Mapping[str, Sequence[Mode]]
    controls: Sequence[Control]


def cameras(folder: Path = Path("/dev")) -> list[Found]:
    """Every camera of this box, whether this user may open it or not."""
    names = {os.path.realpath(link): str(link) for link in sorted(folder.glob("v4l/by-id/*"))}
    paths = sorted(folder.glob("video*"), key=lambda path: (len(path.name), path.name))
    return [found for path in paths if (found := _look(str(path), names.get(str(path), ""))) is not None]


def _look(path: str, stable_path: str) -> Found | None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ENODEV, errno.ENXIO):
            return None
        return Found(path, stable_path, "", error.strerror or "it cannot be opened", {}, ())
    try:
        if not captures(descriptor):
            return None
        listed = {fourcc: modes(descriptor, fourcc) for fourcc in formats(descriptor)}
        return Found(path, stable_path, card(descriptor), "", listed, controls(descriptor))
    finally:
        os.close(descriptor)


def _listed(descriptor: int, request: int, packed: Callable[[int], bytes]) -> Iterator[bytearray]:
    """Ask for entry after entry until the driver has no more."""
    for index in range(256):
        data = bytearray(packed(index))
        try:
            ioctl(descriptor, request, data)
        except OSError:
            return
        yield data


def _fourcc(code: int) -> str:
    return struct.pack("=I", code).decode("latin-1").rstrip()


def _code(fourcc: str) -> int:
    (code,) = struct.unpack("=I", fourcc.ljust(4).encode("latin-1"))
    return int(code)


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("utf-8", "replace")
