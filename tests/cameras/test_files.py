"""Video files as DVRs, phones, browsers and worn memory cards write them."""

import os
import stat
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from agent.capture import EndOfSource, Frame, Source
from agent.errors import CaptureError
from tests.cameras.clips import make, run
from tests.capture.helpers import Listener, next_frame, opened
from tests.capture.pictures import HEIGHT, WIDTH, number_of, picture, write_folder

H264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "5")


def frames_of(source: Source) -> Iterator[Frame]:
    """Read to the end."""
    with suppress(EndOfSource):
        while True:
            yield next_frame(source)


def numbers(path: Path, **options: Any) -> list[int]:
    """Which pictures come out of a file."""
    with opened(source=str(path), **({"pace": "fast"} | options)) as source:
        return [number_of(frame.image) for frame in frames_of(source)]


CODECS = {
    "h264.mp4": H264,
    "h264 with B frames.mp4": ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", "3"),
    "h265.mp4": ("-c:v", "libx265", "-x265-params", "log-level=none", "-pix_fmt", "yuv420p"),
    "h265 10 bit.mkv": ("-c:v", "libx265", "-x265-params", "log-level=none", "-pix_fmt", "yuv420p10le"),
    "vp9.webm": ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"),
    "av1.mkv": ("-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime"),
    "prores.mov": ("-c:v", "prores_ks", "-profile:v", "0"),
    "mpeg4.avi": ("-c:v", "mpeg4", "-q:v", "2"),
    "mjpeg.avi": ("-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj420p"),
    "transport.ts": (*H264, "-f", "mpegts"),
    "elementary.h264": (*H264, "-bf", "0"),
}


@pytest.mark.parametrize("name", CODECS)
def test_every_codec_gives_every_picture(tmp_path: Path, name: str) -> None:
    """What cameras and phones record is decoded whole and in order, at the size it has."""
    path = make(tmp_path / name, 12, *CODECS[name])
    assert numbers(path) == list(range(12))


@pytest.mark.parametrize("name", ["a:b.mp4", "rtsp:x.mp4", "50%d.mp4", "#?&=.mp4", "ü 健身房.mp4", "a b'\".mp4"])
def test_odd_names_are_names(tmp_path: Path, name: str) -> None:
    """A file is a file, whatever an address or a pattern would look like."""
    make(tmp_path / "plain.mp4", 3, *H264).rename(tmp_path / name)
    assert numbers(tmp_path / name) == [0, 1, 2]


def test_interlaced_pictures_are_seen(tmp_path: Path) -> None:
    """Interlaced video is decoded, a field at a time: the empty room after a person is empty."""
    flags = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-flags", "+ilme+ildct", "-x264opts", "interlaced=1:tff=1")
    path = make(tmp_path / "dvr.mp4", 0, *flags, numbers=[7] * 5 + [0] * 10)
    assert numbers(path) == [7] * 5 + [0] * 10


def test_progressive_then_interlaced(tmp_path: Path) -> None:
    """Where a recording changes to interlaced, the pictures before it are not shown again."""
    first = make(tmp_path / "a.ts", 5, *H264, "-f", "mpegts")
    flags = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-flags", "+ilme+ildct", "-x264opts", "interlaced=1")
    second = make(tmp_path / "b.ts", 0, *flags, "-f", "mpegts", numbers=[9] * 10)
    both = tmp_path / "both.ts"
    both.write_bytes(first.read_bytes() + second.read_bytes())
    seen = numbers(both)
    assert seen[:5] == list(range(5))
    assert set(seen[5:]) == {9}
    assert len(seen) >= 13


@pytest.mark.parametrize(("aspect", "width"), [("2/1", 2 * WIDTH), ("1/2", WIDTH // 2), ("1/1", WIDTH)])
def test_pixels_are_square(tmp_path: Path, aspect: str, width: int) -> None:
    """Of video whose pixels are not square the picture has the shape of the room."""
    path = make(tmp_path / "wide.mp4", 3, *H264, "-vf", f"setsar={aspect}")
    with opened(source=str(path), pace="fast") as source:
        assert next_frame(source).image.shape == (HEIGHT, width, 3)


TURNS = {90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), 270: (0, 1, -1, 0)}
"""Degrees counterclockwise, and the first two columns and rows of the matrix that says so."""


@pytest.mark.parametrize("degrees", TURNS)
def test_a_phone_held_upright_is_upright(tmp_path: Path, degrees: int) -> None:
    """The rotation a phone writes beside its video is applied, as every player does."""
    video = make(tmp_path / "turned.mp4", 0, *H264, "-vf", "drawbox=0:0:32:32:white:fill", numbers=[0] * 3)
    data = bytearray(video.read_bytes())
    # By hand, as each version of ffmpeg has another option for it: the track header's matrix (ISO/IEC 14496-12, 8.3.2).
    a, b, c, d = (each << 16 for each in TURNS[degrees])
    struct.pack_into(">9i", data, data.index(b"tkhd") + 44, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    video.write_bytes(data)
    with opened(source=str(video), pace="fast") as source:
        image = next_frame(source).image
    upright = np.rot90(_corner(), degrees // 90)
    assert image.shape == upright.shape
    assert np.abs(image.astype(int) - upright).mean() < 8


def _corner() -> np.ndarray[Any, np.dtype[np.uint8]]:
    image = picture(0).copy()
    image[:32, :32] = 255
    return image


def test_time_stamps_pace_and_date(tmp_path: Path) -> None:
    """A recording of a browser says 1000 frames a second in its header and means its time stamps."""
    filters = "setpts='if(lt(N,3),N,N+47)/25/TB'"  # three pictures, two seconds of nothing, three more
    path = make(tmp_path / "call.mkv", 6, *H264, "-vf", filters, "-vsync", "vfr", "-enc_time_base", "1/1000")
    with opened(source=str(path), pace="fast") as source:
        moments = [frame.media_s for frame in frames_of(source)]
    assert moments == pytest.approx([0, 0.04, 0.08, 2.0, 2.04, 2.08], abs=0.002)


@pytest.mark.parametrize("fps", [0.05, 2000])
def test_no_rate_is_too_odd(tmp_path: Path, fps: float) -> None:
    """A picture every twenty seconds, or two thousand a second: the file's own time counts."""
    path = make(tmp_path / "a.mkv", 4, *H264, fps=fps)
    with opened(source=str(path), pace="fast") as source:
        moments = [frame.media_s for frame in frames_of(source)]
    assert moments == pytest.approx([n / fps for n in range(4)], abs=0.002)


def test_a_change_of_size_is_followed_and_told(tmp_path: Path) -> None:
    """A recording whose size changes gives each picture as it is, and says so."""
    small = make(tmp_path / "a.ts", 5, *H264, "-f", "mpegts")
    large = make(tmp_path / "b.ts", 5, "-vf", f"scale={2 * WIDTH}:{2 * HEIGHT}", *H264, "-f", "mpegts")
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    listener = Listener()
    with opened(listener, source=str(both), pace="fast") as source:
        shapes = [frame.image.shape for frame in frames_of(source)]
    assert set(shapes) == {(HEIGHT, WIDTH, 3), (2 * HEIGHT, 2 * WIDTH, 3)}
    assert listener.rest() == ["camera.opened", "camera.changed"]


def test_damage_is_passed_over_counted_and_told(tmp_path: Path) -> None:
    """Of a damaged MJPEG file what can be decoded comes, what cannot is counted, and the end is not the first fault."""
    path = make(tmp_path / "worn.avi", 40, "-c:v", "mjpeg", "-q:v", "2")
    data = bytearray(path.read_bytes())
    chance = np.random.default_rng(3)
    for at in chance.choice(range(6000, len(data) - 2000), 12, replace=False):
        data[at : at + 8] = chance.bytes(8)
    path.write_bytes(data)
    listener = Listener()
    with opened(listener, source=str(path), pace="fast") as source:
        seen = [number_of(frame.image) for frame in frames_of(source)]
        damaged = source.counts().damaged
    assert len(seen) >= 25
    assert seen == sorted(seen)
    assert len(seen) + damaged >= 38
    assert "camera.damaged" in listener.rest()


def test_a_file_cut_short_says_so(tmp_path: Path) -> None:
    """A copy that broke off gives what it holds, and tells how much is missing."""
    path = make(tmp_path / "copy.mp4", 40, *H264, "-movflags", "+faststart")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 4 // 5])
    listener = Listener()
    with opened(listener, source=str(path), pace="fast") as source:
        seen = list(frames_of(source))
        damaged = source.counts().damaged
    assert 5 < len(seen) < 40
    assert len(seen) + damaged == pytest.approx(40, abs=1)
    assert "camera.damaged" in listener.rest()


def test_a_folder_of_all_sorts(tmp_path: Path) -> None:
    """GIF is read, what is no image is told, a damaged and an enormous picture are passed over."""
    folder = write_folder(tmp_path / "images", 2)
    run("-i", str(folder / "000.png"), str(folder / "002.gif"))
    (folder / "003.png").write_bytes((folder / "000.png").read_bytes()[:60])
    (folder / "004.txt").write_text("notes")
    enormous = cv2.imencode(".png", np.zeros((1, 1), np.uint8))[1].tobytes()
    # The header alone says 40000 x 30000: nobody may try to hold that.
    (folder / "005.png").write_bytes(enormous[:16] + (40000).to_bytes(4) + (30000).to_bytes(4) + enormous[24:])
    with opened(source=str(folder), pace="fast") as source:
        assert [number_of(frame.image) for frame in frames_of(source)] == [0, 1, 0]
        assert source.counts().damaged == 2


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_pipe_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    """Nobody waits for what may never be written."""
    path = tmp_path / kind
    os.mkfifo(path) if kind == "pipe" else os.mknod(path, stat.S_IFSOCK | 0o600)
    with pytest.raises(CaptureError, match="is a pipe, a socket or a device"), opened(source=str(path)):
        pass


@pytest.mark.skipif(any(Path("/dev/dri").glob("renderD*")), reason="this machine may have what is to be missing")
def test_hardware_that_is_not_there(tmp_path: Path) -> None:
    """Asked for Intel's decoder on a box without one, software decodes every picture, and that is told once."""
    path, listener = make(tmp_path / "a.mp4", 8, *H264), Listener()
    with opened(listener, source=str(path), pace="fast", decoder="qsv") as source:
        assert [number_of(frame.image) for frame in frames_of(source)] == list(range(8))
    told = listener.next()
    assert told.code == "camera.software"
    assert "Quick Sync cannot decode h264 here" in told.message
    assert listener.rest() == ["camera.opened"]
    assert numbers(path, decoder="auto") == list(range(8))


def test_a_file_without_video(tmp_path: Path) -> None:
    """Sound alone is told as what it is."""
    path = tmp_path / "sound.mp4"
    run("-f", "lavfi", "-i", "sine=d=1", str(path))
    with pytest.raises(CaptureError, match="holds no video"), opened(source=str(path)):
        pass
