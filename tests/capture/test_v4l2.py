"""USB cameras, on the answers that a driver gave: no camera can be plugged in where these tests run."""

import errno
import struct
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agent.capture import v4l2
from agent.commands.cameras import cameras as command
from agent.errors import CaptureError

CARD = b"HD Pro Webcam C920"
FORMATS = ("YUYV", "MJPG", "H264")
SIZES = {
    "YUYV": [(640, 480, (30, 15)), (1280, 720, (10,))],
    "MJPG": [(1280, 720, (30, 24)), (1920, 1080, (30,))],
    "H264": [],
}
CONTROLS = [
    (0x00980900, 1, b"Brightness", 0, 255, 128),
    (0x009A0901, 3, b"Auto Exposure", 0, 3, 3),
    (0x009A0902, 1, b"Exposure Time, Absolute", 3, 2047, 250),
]


class Driver:
    """Answers as uvcvideo does for a webcam."""

    def __init__(self, capabilities: int = 0x04200001) -> None:
        self.set: list[tuple[int, int]] = []
        self._capabilities = capabilities

    def __call__(self, _descriptor: int, request: int, data: bytearray) -> int:
        answers = {
            v4l2.QUERYCAP: self._capability,
            v4l2.ENUM_FMT: self._format,
            v4l2.ENUM_FRAMESIZES: self._size,
            v4l2.ENUM_FRAMEINTERVALS: self._interval,
            v4l2.QUERYCTRL: self._control,
            v4l2.S_CTRL: self._set,
        }
        try:
            answer = answers[request](bytes(data))
        except (IndexError, StopIteration):
            raise OSError(errno.EINVAL, "Invalid argument") from None
        data[:] = answer
        return 0

    def _capability(self, _data: bytes) -> bytes:
        return struct.pack("=16s32s32sIII12x", b"uvcvideo", CARD, b"usb-1", 0x60100, 0x84A00001, self._capabilities)

    def _format(self, data: bytes) -> bytes:
        index, kind = struct.unpack_from("=II", data)
        fourcc = FORMATS[index].encode()
        return struct.pack("=III32s4sI12x", index, kind, 0, b"", fourcc, 0).ljust(64, b"\0")

    def _size(self, data: bytes) -> bytes:
        index, fourcc = struct.unpack_from("=I4s", data)
        width, height, _ = SIZES[fourcc.decode()][index]
        return struct.pack("=I4sIII24x", index, fourcc, 1, width, height)

    def _interval(self, data: bytes) -> bytes:
        index, fourcc, width, height = struct.unpack_from("=I4sII", data)
        rates = next(rates for w, h, rates in SIZES[fourcc.decode()] if (w, h) == (width, height))
        return struct.pack("=I4sIIIII24x", index, fourcc, width, height, 1, 1, rates[index])

    def _control(self, data: bytes) -> bytes:
        asked = struct.unpack_from("=I", data)[0] & ~0x80000000
        number, kind, name, low, high, default = next(control for control in CONTROLS if control[0] > asked)
        return struct.pack("=II32siiiiI8x", number, kind, name, low, high, 1, default, 0)

    def _set(self, data: bytes) -> bytes:
        self.set.append(struct.unpack("=Ii", data))
        return data


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    driver = Driver()
    monkeypatch.setattr(v4l2, "ioctl", driver)
    return driver


def test_requests_are_those_of_the_kernel() -> None:
    """The numbers carry the size of what they take: a structure of another size would be refused."""
    taken = {
        v4l2.QUERYCAP: 104,
        v4l2.ENUM_FMT: 64,
        v4l2.ENUM_FRAMESIZES: 44,
        v4l2.ENUM_FRAMEINTERVALS: 52,
        v4l2.QUERYCTRL: 68,
        v4l2.S_CTRL: 8,
    }
    for request, size in taken.items():
        assert request >> 16 & 0x3FFF == size
        assert request >> 8 & 0xFF == ord("V")
    structures = (v4l2._CAPABILITY, v4l2._FORMAT, v4l2._SIZE, v4l2._INTERVAL, v4l2._CONTROL, v4l2._VALUE)
    assert [structure.size for structure in structures] == list(taken.values())


@pytest.mark.usefixtures("driver")
def test_what_a_camera_can_do() -> None:
    """Formats in the driver's order, sizes and rates of each, controls by names that can be written."""
    assert v4l2.captures(0)
    assert v4l2.card(0) == CARD.decode()
    assert v4l2.formats(0) == list(FORMATS)
    assert v4l2.modes(0, "MJPG") == [v4l2.Mode(1280, 720, (30.0, 24.0)), v4l2.Mode(1920, 1080, (30.0,))]
    assert [control.name for control in v4l2.controls(0)] == ["brightness", "auto_exposure", "exposure_time_absolute"]


def test_the_second_file_of_a_camera_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A webcam has a file for its metadata: it is no camera."""
    monkeypatch.setattr(v4l2, "ioctl", Driver(capabilities=0x04A00000))
    assert not v4l2.captures(0)


@pytest.mark.parametrize(
    ("there", "wanted", "chosen"),
    [(FORMATS, None, "mjpeg"), (FORMATS, "YUYV", "yuyv422"), (FORMATS, "H264", "h264"), (("YUYV",), None, None)],
)
def test_mjpg_is_preferred(there: tuple[str, ...], wanted: str | None, chosen: str | None) -> None:
    """Unasked a camera gives what fits through USB; asked, what was asked for."""
    assert v4l2.choose(there, wanted) == chosen


def test_a_format_it_does_not_have() -> None:
    """Named with those it has."""
    with pytest.raises(CaptureError, match="no NV12; it has YUYV, MJPG, H264"):
        v4l2.choose(FORMATS, "NV12")


def test_controls_are_set_in_order(driver: Driver) -> None:
    """As they stand in the configuration: an exposure counts only after the automatic is off."""
    v4l2.set_controls(0, "/dev/video0", {"auto_exposure": 1, "exposure_time_absolute": 100})
    assert driver.set == [(0x009A0901, 1), (0x009A0902, 100)]


@pytest.mark.usefixtures("driver")
@pytest.mark.parametrize(
    ("controls", "words"),
    [({"focus": 1}, "has no focus; it has brightness, auto_exposure"), ({"brightness": 300}, "expected 0 to 255")],
)
def test_controls_that_cannot_be(controls: dict[str, int], words: str) -> None:
    """Told with what there is, before anything is set."""
    with pytest.raises(CaptureError, match=words):
        v4l2.set_controls(0, "/dev/video0", controls)


@pytest.fixture
def folder(tmp_path: Path, driver: Driver) -> Path:
    assert driver.set == []
    (tmp_path / "video0").touch()
    (tmp_path / "video10").touch()
    links = tmp_path / "v4l" / "by-id"
    links.mkdir(parents=True)
    (links / "usb-HD_Pro_Webcam_C920-video-index0").symlink_to(tmp_path / "video0")
    return tmp_path


def test_cameras_of_a_box(folder: Path) -> None:
    """Each by its number, with the name that survives replugging."""
    first, second = v4l2.cameras(folder)
    assert (first.path, second.path) == (str(folder / "video0"), str(folder / "video10"))
    assert first.stable_path.endswith("index0")
    assert second.stable_path == ""
    assert list(first.modes) == list(FORMATS)


def test_the_list_for_people(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What to write as the source, sizes, rates and controls."""
    found = v4l2.cameras(folder)
    monkeypatch.setattr(v4l2, "cameras", lambda: found)
    ended: list[Any] = []
    monkeypatch.setattr("agent.commands.cameras.leave", ended.append)
    said = CliRunner().invoke(command, [], env={"COLUMNS": "100"}).output
    for words in (CARD.decode(), "index0", "1280x720", "30, 24", "exposure_time_absolute = 250  (3 to 2047)"):
        assert words in said
    assert ended == [0]
