"""A network camera that stalls, resets, resumes, refuses, freezes and forbids: a real server, real FFmpeg."""

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import IO, Any

import pytest
from tenacity import wait_fixed

from agent.capture import Source, timing
from tests.capture.helpers import Listener, next_frame, opened
from tests.capture.mjpeg import MjpegCamera, Mode
from tests.capture.pictures import number_of

QUICK = {"open_timeout_s": 0.6, "read_timeout_s": 0.3}
SILENT = re.compile(r"no frame for (0\.[3-9]|[1-9]\d?\.\d) s")
"""How long it really was, which is more than the time-out on a busy machine."""


@contextmanager
def watching(camera: MjpegCamera, **options: Any) -> Iterator[tuple[Source, Listener]]:
    """Open the stream and wait until it flows."""
    listener = Listener()
    with opened(listener, source=camera.url, **(QUICK | options)) as source:
        assert listener.next().code == "camera.opened"
        yield source, listener


@pytest.fixture
def camera() -> Iterator[MjpegCamera]:
    with MjpegCamera() as camera:
        yield camera


def test_stream_flows(camera: MjpegCamera) -> None:
    """Frames of a stream come in order, each newer than the one before."""
    with watching(camera) as (source, _):
        numbers = [number_of(next_frame(source).image) for _ in range(10)]
    assert numbers == sorted(set(numbers))


def test_stall_is_a_loss_and_heals(camera: MjpegCamera) -> None:
    """A camera that falls silent is lost after the read time-out, told once, and back when it speaks again."""
    with watching(camera) as (source, listener):
        camera.set(Mode.STALL)
        lost = listener.next()
        assert lost.code == "camera.lost"
        assert SILENT.fullmatch(lost.message)
        camera.wait_for_streams(3)  # opened again, in vain
        before = camera.set(Mode.RUN)
        assert listener.next().code == "camera.back"
        assert number_of(next_frame(source).image) > before


def test_reset_is_a_loss_and_heals(camera: MjpegCamera) -> None:
    """A connection that is reset is lost at once and opened again."""
    with watching(camera) as (source, listener):
        for _ in range(3):
            camera.reset()
            assert "connection broke" in listener.next().message
            assert listener.next().code == "camera.back"
            next_frame(source)


def test_a_lost_camera_is_given_time(camera: MjpegCamera, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two attempts the reader rests for as long as the policy says: a lost camera costs no processor."""
    monkeypatch.setattr(timing, "REOPEN_CAMERA", wait_fixed(3600))
    with watching(camera) as (_, listener):
        camera.reset()
        assert listener.next().code == "camera.lost"
        threading.Event().wait(0.5)  # for what must not happen
        assert camera.streams == 1


def test_refusal_is_a_loss_and_heals(camera: MjpegCamera) -> None:
    """A camera that is switched off is lost, once, and back when it is on again."""
    with watching(camera) as (source, listener):
        camera.refuse()
        assert listener.next().code == "camera.lost"
        camera.listen()
        assert listener.next().code == "camera.back"
        next_frame(source)


def test_camera_that_comes_late(camera: MjpegCamera) -> None:
    """A camera that is off at the start is no error: it is lost, with the reason, and taken up when it comes."""
    camera.refuse()
    listener = Listener()
    with opened(listener, source=camera.url, **QUICK) as source:
        lost = listener.next()
        assert (lost.code, "Connection refused" in lost.message) == ("camera.lost", True)
        assert source.read(0.0) is None
        camera.listen()
        assert listener.next().code == "camera.back"
        next_frame(source)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "refuses (400 Bad Request)"),
        (404, "does not exist on the camera (404 Not Found)"),
        (500, "answers with an error of its own (500 Internal Server Error)"),
        (503, "answers with an error of its own (503 Service Unavailable)"),
    ],
)
def test_what_the_camera_answers_is_the_cause(camera: MjpegCamera, status: int, words: str) -> None:
    """A camera that answers with an error is lost with that as the cause and a cure, and back once it serves."""
    camera.status = status
    listener = Listener()
    with opened(listener, source=camera.url, **QUICK):
        lost = listener.next()
        assert words in lost.message
        assert lost.facts["cure"]
        camera.status = 200
        assert listener.next().code == "camera.back"


@pytest.mark.parametrize(("status", "account"), [(401, ""), (401, "gym:wrong@"), (403, "gym:wrong@")])
def test_refused_log_ins_are_minutes_apart(camera: MjpegCamera, status: int, account: str) -> None:
    """A camera that locks after five wrong passwords stays open: one log-in, then none for a minute, told once."""
    camera.status = status
    listener = Listener()
    with opened(listener, source=camera.url.replace("//", f"//{account}"), **QUICK):
        lost = listener.next()
        assert ("refuses this user and password" if account else "wants a user and a password") in lost.message
        assert "camera.source" in str(lost.facts["cure"])
        asked = camera.asked
        threading.Event().wait(1.5)  # for what must not happen
        assert (camera.asked, listener.rest()) == (asked, [])
        assert asked <= 2, "the first request, and one with the account"


def test_camera_that_never_answers(camera: MjpegCamera) -> None:
    """A camera that promises a stream and sends none is lost after the read time-out."""
    camera.set(Mode.STALL)
    listener = Listener()
    with opened(listener, source=camera.url, **QUICK):
        assert SILENT.fullmatch(listener.next().message)


def test_password_reaches_the_camera_and_nobody_else() -> None:
    """User and password of an address open the camera; neither stands in any event."""
    with MjpegCamera(credentials="gym:tr0ub4dor") as camera, watching(camera) as (source, listener):
        next_frame(source)
        camera.refuse()
        lost = listener.next()
        assert lost.facts["source"] == camera.url.replace("gym:tr0ub4dor@", "")
        assert "tr0ub4dor" not in repr(lost)


def test_frozen_picture_is_a_loss(camera: MjpegCamera) -> None:
    """A picture that stands still is told once, opened again and again, and back only when it changes."""
    with watching(camera, frozen_after_s=0.2) as (source, listener):
        number = camera.set(Mode.FREEZE)
        assert [listener.next().code, listener.next().code] == ["camera.frozen", "camera.lost"]
        camera.wait_for_streams(3)
        assert listener.rest() == []
        camera.set(Mode.RUN)
        assert listener.next().code == "camera.back"
        assert number_of(next_frame(source).image) > number


def test_still_picture_may_be_wanted(camera: MjpegCamera) -> None:
    """Below the time of frozen_after_s a picture that does not move is delivered like any other."""
    with watching(camera, frozen_after_s=60) as (source, listener):
        number = camera.set(Mode.FREEZE)
        frames = [next_frame(source) for _ in range(20)]
        assert number_of(frames[-1].image) == number
        assert listener.rest() == []


def test_nothing_stale_after_a_stall(camera: MjpegCamera) -> None:
    """What the network held back during a stall is never delivered: the first frame after it is new."""
    with watching(camera, read_timeout_s=5) as (source, listener):
        next_frame(source)
        held_from = camera.set(Mode.HOLD)
        camera.wait_for_number(held_from + 40)  # 0.8 s
        held_until = camera.set(Mode.RUN)
        assert number_of(next_frame(source).image) > held_until
        assert listener.rest() == []


def test_cap_of_a_stream(camera: MjpegCamera) -> None:
    """Frames above the cap are neither delivered nor counted."""
    with watching(camera, fps_max=10) as (source, _):
        frames = [next_frame(source) for _ in range(4)]
        counts, counted_s = source.counts(), time.perf_counter()
    assert all(early.seq < late.seq for early, late in pairwise(frames))
    assert frames[-1].captured_s - frames[0].captured_s >= 0.07 * (frames[-1].seq - frames[0].seq)
    assert 4 <= counts.captured <= 1 + (counted_s - frames[0].captured_s) / 0.07


PROGRAM = """
import sys
from agent.capture import open_source
from agent.config.tree import Camera
source = open_source(Camera(source=sys.argv[1]), resolve_clip=None, notify=lambda event: print(event.code, flush=True))
sys.stdin.readline()
source.close()
"""


def test_close_during_a_stall_ends_cleanly(camera: MjpegCamera) -> None:
    """A process that closes a source whose camera hangs ends with 0; nothing has printed past the log, no password."""
    camera.refuse()
    url = camera.url.replace("//", "//gym:tr0ub4dor@")
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    shown = read_until("camera.lost\n", process.stdout)
    camera.listen()
    shown += read_until("camera.back\n", process.stdout)
    camera.set(Mode.STALL)
    out, err = process.communicate("\n", timeout=30)
    assert (process.returncode, err) == (0, "")
    assert "tr0ub4dor" not in shown + out


def read_until(line: str, pipe: IO[str]) -> str:
    """Read lines up to this one."""
    text = ""
    for read in pipe:
        text += read
        if read == line:
            return text
    raise AssertionError(f"ended without {line!r}: {text}")
