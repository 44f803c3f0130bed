"""The promises every source keeps, whatever it reads."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.capture import EndOfSource, Region, Source
from tests.capture.helpers import WAIT_S, Listener, next_frame, opened
from tests.capture.mjpeg import MjpegCamera
from tests.capture.pictures import HEIGHT, WIDTH, write_folder, write_video

FILES: dict[str, dict[str, Any]] = {
    "inline fast": {"pace": "fast"},
    "inline native": {"lossless": True},
    "inline looped": {"pace": "fast", "loop": True},
    "live": {},
    "live looped": {"loop": True},
}
KINDS = [*(f"{kind}, {how}" for kind in ("video", "folder") for how in FILES), "stream"]


@dataclass(frozen=True)
class Opened:
    """A source under test and its listener."""

    source: Source
    listener: Listener


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def options(kind: str, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Configure a source of this kind with some 40 frames at 100 a second; a stream runs for as long as it is read."""
    what, _, how = kind.partition(", ")
    if what == "stream":
        with MjpegCamera(0.02) as camera:
            yield {"source": camera.url}
    elif what == "video":
        yield {"source": str(write_video(tmp_path / "a.avi", 40))} | FILES[how]
    else:
        yield {"source": str(write_folder(tmp_path / "images", 40)), "folder_fps": 100} | FILES[how]


@pytest.fixture
def under_test(options: dict[str, Any]) -> Iterator[Opened]:
    listener = Listener()
    with opened(listener, **options) as source:
        yield Opened(source, listener)


def test_frames_are_what_they_say(under_test: Opened) -> None:
    """A frame is a contiguous BGR picture with a growing number, the time of its arrival, and its cost."""
    last_seq, last_s = -1, 0.0
    for _ in range(5):
        frame = next_frame(under_test.source)
        assert frame.image.dtype == np.uint8
        assert frame.image.shape == (HEIGHT, WIDTH, 3)
        assert frame.image.flags.c_contiguous
        assert frame.seq > last_seq
        assert frame.captured_s > last_s
        assert frame.captured_at.tzinfo is UTC
        assert abs((datetime.now(UTC) - frame.captured_at).total_seconds()) < WAIT_S
        assert 0 <= frame.capture_ms < WAIT_S * 1e3
        assert frame.region is None
        last_seq, last_s = frame.seq, frame.captured_s


def test_holder_owns_the_image(under_test: Opened) -> None:
    """No source writes into an image it gave away, and what its holder draws reaches no other frame."""
    first = next_frame(under_test.source)
    assert first.image.flags.writeable
    first.image[:] = 77
    others = [next_frame(under_test.source) for _ in range(5)]
    assert (first.image == 77).all()
    images = [first.image, *(frame.image for frame in others)]
    assert not any(np.shares_memory(a, b) for n, a in enumerate(images) for b in images[n + 1 :])


def test_frames_are_accounted_for(under_test: Opened) -> None:
    """Every frame taken was delivered, was dropped, or still waits; a gap in seq is a dropped frame."""
    frames = [next_frame(under_test.source) for _ in range(5)]
    counts = under_test.source.counts()
    missing = frames[-1].seq + 1 - len(frames)
    assert 0 <= missing <= counts.dropped
    assert 0 <= counts.captured - counts.dropped - len(frames) <= 1


def test_opening_is_told_once(under_test: Opened) -> None:
    """The listener hears of the opening with the size of the picture, and of nothing else while frames flow."""
    for _ in range(5):
        next_frame(under_test.source)
    event = under_test.listener.next()
    assert event.code == "camera.opened"
    assert (event.facts["width"], event.facts["height"]) == (WIDTH, HEIGHT)
    assert under_test.listener.rest() == []


def test_closed_source_is_at_its_end(under_test: Opened) -> None:
    """After close, reading raises EndOfSource at once, and closing again is harmless."""
    next_frame(under_test.source)
    under_test.source.close()
    with pytest.raises(EndOfSource):
        under_test.source.read(WAIT_S)
    under_test.source.close()


def test_close_ends_reading_elsewhere(under_test: Opened) -> None:
    """A thread that reads without pause ends when another closes the source."""
    started, ended = threading.Event(), threading.Event()

    def read() -> None:
        try:
            while True:
                under_test.source.read(6 * WAIT_S)
                started.set()
        except EndOfSource:
            ended.set()

    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    assert started.wait(WAIT_S)
    under_test.source.close()
    assert ended.wait(WAIT_S)


def test_rotation_and_region(options: dict[str, Any]) -> None:
    """Every source turns its frames and says where to look, in pixels of the turned frame."""
    with opened(**options, rotate=90, roi={"x": 0.5, "width": 0.5}) as source:
        frame = next_frame(source)
    assert frame.image.shape == (WIDTH, HEIGHT, 3)
    assert frame.region == Region(HEIGHT // 2, 0, HEIGHT // 2, WIDTH)
    assert frame.image.flags.c_contiguous
