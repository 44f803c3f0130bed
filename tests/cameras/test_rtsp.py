"""A real RTSP server, real encoders: held frames, stalls, freezes, sizes, accounts, transports, addresses."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from agent.capture import Source
from agent.capture.look import look
from agent.config.tree import Camera
from tests.cameras.rtsp import RtspCamera, legible, made_s, require_gstreamer
from tests.capture.helpers import Listener, next_frame, opened

CODECS = ("h264", "h265", "mjpeg")
PASSWORD = "p@:/#?%ü"
PATIENT = {"open_timeout_s": 60, "read_timeout_s": 60}


@pytest.fixture(scope="module", autouse=True)
def _gstreamer() -> None:
    require_gstreamer()


@contextmanager
def watching(camera: RtspCamera, codec: str, account: str = "", **options: Any) -> Iterator[tuple[Source, Listener]]:
    """Open a stream and wait until it flows.

    Somebody looks before us: a camera's encoder runs all day, and the server's may take seconds to start.
    """
    listener = Listener()
    with ExitStack() as sources:
        with opened(source=camera.url(codec, account), **(options | PATIENT)) as before_us:
            next_frame(before_us)
            source = sources.enter_context(opened(listener, source=camera.url(codec, account), **options))
            opening = listener.next()
        assert opening.code == "camera.opened", opening
        yield source, listener


def after(source: Source, moment_s: float) -> float:
    """Wait for a picture made after this moment; how long ago it was made when it came."""
    until_s = time.monotonic() + 30
    while time.monotonic() < until_s:
        frame = source.read(1)
        if frame is not None and (made := made_s(frame.image)) > moment_s:
            return time.monotonic() - made
    raise AssertionError("no picture came")


@pytest.mark.parametrize("codec", CODECS)
def test_no_frame_is_held_back(codec: str) -> None:
    """A picture is not older than it is said to be: none waits in a parser or decoder for the next one.

    How the pictures of a camera end has to be seen first; meanwhile they are dated as old as they are, and dropped. The
    bound is half a period: a held frame is a whole one late, each time. No question of speed: an encoder that lags on a
    busy machine is waited for.
    """
    excess: list[float] = []
    with RtspCamera(fps=2) as camera, watching(camera, codec, read_timeout_s=10) as (source, _):
        while sum(late < 0.25 for late in excess) < 5:
            assert len(excess) < 60, excess
            frame = next_frame(source)
            excess.append((time.monotonic() - made_s(frame.image)) - (time.perf_counter() - frame.captured_s))


@pytest.mark.parametrize("codec", CODECS)
def test_a_server_that_stops_is_lost_and_back(codec: str) -> None:
    """A box that hangs amid its stream is told within its time-out and no frame later; it is back when it goes on."""
    with RtspCamera() as camera, watching(camera, codec, read_timeout_s=1) as (source, listener):
        next_frame(source)
        camera.stop()
        lost = listener.next()
        assert lost.code == "camera.lost"
        assert 0.1 < float(lost.facts["after_s"] or 0) < 10
        camera.go_on()
        moment_s = time.monotonic()
        assert listener.next().code == "camera.back"
        after(source, moment_s)


def test_a_server_that_is_gone_and_comes_again() -> None:
    """A pulled plug is told at once with its cause; on the same address the camera is taken up again."""
    with RtspCamera() as camera, watching(camera, "h264") as (source, listener):
        next_frame(source)
        camera.kill()
        assert listener.next().code == "camera.lost"
        camera.start()
        moment_s = time.monotonic()
        assert listener.next().code == "camera.back"
        after(source, moment_s)


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_who_joins_between_key_frames_waits_for_the_next(codec: str) -> None:
    """A camera that makes a key frame every four seconds is neither lost nor damaged while the first one is due."""
    with RtspCamera(fps=10, gop=40) as camera, watching(camera, codec) as (first, _):
        next_frame(first)
        with watching(camera, codec, read_timeout_s=1) as (second, listener):
            assert legible(next_frame(second).image)
            assert second.counts().damaged == 0
            assert listener.rest() == []


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_a_still_picture_is_frozen(codec: str) -> None:
    """Key frames that differ by a few bytes do not hide that nothing happens any more."""
    with RtspCamera(gop=25) as camera, watching(camera, codec, frozen_after_s=3) as (source, listener):
        next_frame(source)
        camera.order("freeze")
        assert [listener.next().code, listener.next().code] == ["camera.frozen", "camera.lost"]
        camera.order("run")
        assert listener.next().code == "camera.back"


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_a_change_of_size_is_followed(codec: str) -> None:
    """Whoever changes the size in the camera's menu is told of it, and no picture is bent into the former one."""
    with RtspCamera() as camera, watching(camera, codec) as (source, listener):
        next_frame(source)
        camera.order("size 320 192")
        told: list[str] = []
        while "camera.changed" not in told and told != ["camera.lost", "camera.back"]:
            told.append(listener.next().code)
        moment_s = time.monotonic()
        assert after(source, moment_s) < 30
        shapes = {next_frame(source).image.shape for _ in range(5)}
        assert shapes == {(192, 320, 3)}


def test_interlaced_pictures_over_rtsp() -> None:
    """An interlaced camera shows what it sees, field by field, and is not taken for frozen."""
    with RtspCamera() as camera, watching(camera, "interlaced", frozen_after_s=1) as (source, listener):
        frames = [next_frame(source) for _ in range(40)]
        assert all(legible(frame.image) for frame in frames)
        assert time.monotonic() - made_s(frames[-1].image) < 5
        assert listener.rest() == []


@pytest.mark.parametrize("scheme", ["basic", "digest"])
def test_accounts(scheme: str) -> None:
    """Reserved characters of a password, percent-encoded, open the camera; a wrong one is told once, with the cure."""
    with RtspCamera(user="gym", password=PASSWORD, scheme=scheme) as camera:
        with watching(camera, "mjpeg", f"gym:{quote(PASSWORD, safe='')}") as (source, _):
            next_frame(source)
        listener = Listener()
        with opened(listener, source=camera.url("mjpeg", "gym:wr0ng")):
            lost = listener.next()
            assert "refuses this user and password" in lost.message
            assert "wr0ng" not in repr(lost)


@pytest.mark.parametrize(
    ("path", "wanted", "words"),
    [("nowhere", {}, "does not exist on the camera (404"), ("h264", {"user": "a", "password": "b"}, "wants a user")],
)
def test_the_cause_is_told(path: str, wanted: dict[str, str], words: str) -> None:
    """A wrong path is no wrong password."""
    listener = Listener()
    with RtspCamera(**wanted) as camera, opened(listener, source=camera.url(path)):
        assert words in listener.next().message


def test_transports() -> None:
    """A camera that has UDP alone is read by itself; who insists on TCP is told what to change."""
    with RtspCamera(transport="udp") as camera:
        with watching(camera, "mjpeg") as (source, _):
            next_frame(source)
        listener = Listener()
        with opened(listener, source=camera.url("mjpeg"), transport="tcp"):
            lost = listener.next()
            assert "461 Unsupported transport" in lost.message
            assert "camera.transport" in str(lost.facts["cure"])


def test_ipv6() -> None:
    """An address in brackets is an address."""
    with RtspCamera(address="::1") as camera:
        listener = Listener()
        with opened(listener, source=camera.url("mjpeg", host="[::1]")) as source:
            next_frame(source)


@pytest.mark.parametrize(("codec", "name"), [("h264", "h264"), ("interlaced", "h264"), ("mjpeg", "mjpeg")])
def test_doctor_tells_what_the_camera_sends(codec: str, name: str) -> None:
    """Codec, size, rate, interlaced or not, how often a key frame comes, and that none is held back for long."""
    with RtspCamera(fps=25, gop=12) as camera:
        found = look(Camera(source=camera.url(codec)), Path, 3)
    assert (found.codec, found.width, found.height, found.interlaced) == (name, 640, 360, codec == "interlaced")
    assert found.fps == pytest.approx(25, rel=0.3)
    assert found.key_every_s == pytest.approx(1 / 25 if codec == "mjpeg" else 12 / 25, rel=0.3)
    assert f"640x360, {name}, " in str(found)
