"""HTTP cameras of every kind: streams of JPEG, snapshots, playlists, recordings, pages, accounts, certificates."""

from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import pytest

from agent.capture import EndOfSource
from tests.cameras.clips import make, run
from tests.cameras.test_files import H264, frames_of
from tests.cameras.web import Answer, WebCamera, file_server, guarded, snapshots, stream
from tests.capture.helpers import Listener, next_frame, opened
from tests.capture.pictures import number_of, picture

QUICK: dict[str, Any] = {"open_timeout_s": 5.0, "read_timeout_s": 2.0}
PASSWORD = "p@:/#?%ü"


@pytest.mark.parametrize(
    "answer",
    [
        stream(),
        stream(kind="image/jpg"),
        stream("--frame"),
        stream(length=False),
        stream(kind="application/octet-stream", length=False),
        stream("MixedCase--1", length=False),
        stream("", length=False),
    ],
    ids=[
        "as it should be",
        "image/jpg",
        "dashes in the boundary",
        "no length",
        "no length, no type",
        "a boundary in capitals",
        "no boundary",
    ],
)
def test_streams_as_cameras_write_them(answer: Answer) -> None:
    """Neither the claimed type of a part nor its missing length keeps a picture back."""
    with WebCamera(answer) as camera, opened(source=camera.url(), **QUICK) as source:
        numbers = [number_of(next_frame(source).image) for _ in range(8)]
    assert numbers == sorted(set(numbers))


def test_a_damaged_picture_is_no_loss() -> None:
    """A picture cut short is counted, told once, never shown; the stream goes on over the same connection."""
    listener = Listener()
    with (
        WebCamera(stream(bad=lambda number: number % 4 == 0)) as camera,
        opened(listener, source=camera.url(), **QUICK) as source,
    ):
        numbers = [number_of(next_frame(source).image) for _ in range(20)]
        assert source.counts().damaged >= 4
        assert len(camera.requests) == 1
    assert not [number for number in numbers if number % 4 == 0]
    assert listener.rest() == ["camera.opened", "camera.damaged"]


def test_snapshots_are_asked_for_at_the_rate_wanted() -> None:
    """A picture behind an address is a camera: asked for camera.fps times a second, over and over."""
    with WebCamera(snapshots()) as camera, opened(source=camera.url("/snap.jpg"), fps=20, **QUICK) as source:
        frames = [next_frame(source) for _ in range(6)]
    numbers = [number_of(frame.image) for frame in frames]
    assert numbers == sorted(set(numbers))
    assert min(late.captured_s - early.captured_s for early, late in pairwise(frames)) >= 0.02


@pytest.mark.parametrize(("suffix", "kind"), [(".png", "image/png"), (".webp", "image/webp"), (".bmp", "image/bmp")])
def test_snapshots_of_other_kinds(suffix: str, kind: str) -> None:
    """Not every snapshot is a JPEG."""
    data = cv2.imencode(suffix, picture(77))[1].tobytes()
    answer: Answer = lambda request: request.body(data, kind)  # noqa: E731
    with WebCamera(answer) as camera, opened(source=camera.url("/snap"), fps=20, **QUICK) as source:
        assert number_of(next_frame(source).image) == 77
        assert source.counts().damaged == 0


@pytest.mark.parametrize("scheme", ["basic", "digest"])
@pytest.mark.parametrize("answer", [stream(), snapshots()], ids=["stream", "snapshot"])
def test_accounts(scheme: str, answer: Answer) -> None:
    """A password of reserved characters, percent-encoded in the address, opens the camera by either scheme."""
    account = f"gym:{quote(PASSWORD, safe='')}"
    with (
        WebCamera(guarded(answer, "gym", PASSWORD, scheme)) as camera,
        opened(source=camera.url(account=account), **QUICK) as source,
    ):
        next_frame(source)


@pytest.mark.parametrize("scheme", ["basic", "digest"])
def test_a_wrong_password_is_tried_once(scheme: str) -> None:
    """A camera that locks after five attempts is asked once, told with the cure; the password stands nowhere."""
    listener = Listener()
    with (
        WebCamera(guarded(stream(), "gym", PASSWORD, scheme)) as camera,
        opened(listener, source=camera.url(account="gym:wr0ng"), **QUICK),
    ):
        lost = listener.next()
        assert "refuses this user and password (401 Unauthorized)" in lost.message
        assert "camera.source" in str(lost.facts["cure"])
        assert "wr0ng" not in repr(lost)
        assert camera.log_ins == 1


def test_a_web_page_is_told_as_one() -> None:
    """The camera's own page is not its stream."""
    listener = Listener()
    page: Answer = lambda request: request.body(b"<html>Welcome</html>", "text/html; charset=utf-8")  # noqa: E731
    with WebCamera(page) as camera, opened(listener, source=camera.url("/"), **QUICK):
        assert "answers with a web page" in listener.next().message


def test_a_recording_plays_once_at_its_own_rate(tmp_path: Path) -> None:
    """An MP4 behind an address is played by its time stamps, no picture dropped as stale, and then it is over."""
    make(tmp_path / "a.mp4", 20, *H264, "-movflags", "+faststart")
    with WebCamera(file_server(tmp_path)) as camera, opened(source=camera.url("/a.mp4"), **QUICK) as source:
        frames = list(frames_of(source))
        with pytest.raises(EndOfSource):
            source.read(0)
        assert source.counts().captured == 20
    assert frames[-1].captured_s - frames[0].captured_s >= 0.5 * 19 / 25


def test_a_playlist_plays(tmp_path: Path) -> None:
    """HLS gives its pictures by the segment; they come out at the camera's rate."""
    source_file = make(tmp_path / "a.mp4", 50, *H264, "-force_key_frames", "expr:gte(t,n_forced*0.4)")
    hls = ("-c", "copy", "-f", "hls", "-hls_time", "0.4", "-hls_list_size", "0", "-hls_flags", "omit_endlist")
    run("-i", str(source_file), *hls, str(tmp_path / "live.m3u8"))
    with WebCamera(file_server(tmp_path)) as camera, opened(source=camera.url("/live.m3u8"), **QUICK) as source:
        frames = [next_frame(source) for _ in range(12)]
    numbers = [number_of(frame.image) for frame in frames]
    assert numbers == sorted(set(numbers))
    assert frames[-1].captured_s - frames[0].captured_s >= 0.5 * (numbers[-1] - numbers[0]) / 25
