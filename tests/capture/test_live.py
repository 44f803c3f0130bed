"""The live source over a reader by script: what no camera does on request.

A V4L2 camera cannot exist on a build machine; these are the promises its driver can put to the test.
"""

import queue
import threading
from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from agent.capture import CaptureEvent, live
from agent.capture.live import LiveSource
from agent.capture.reader import Feed, Reader
from agent.config.tree import Camera
from agent.errors import CaptureError
from tests.capture.helpers import WAIT_S, Listener, ScriptedReader, next_frame, opened
from tests.capture.pictures import number_of, picture


def camera_of(*readers: Reader | Exception) -> Feed:
    """Return a camera that gives these readers, one for each time it is opened, and then no more."""
    script = iter(readers)

    def open_next() -> Reader:
        reader = next(script, CaptureError("unplugged"))
        if isinstance(reader, Exception):
            raise reader
        return reader

    return Feed("scripted", open_next, finite=False)


def give(reader: ScriptedReader, *numbers: int) -> None:
    """Hand over pictures, one at a time, and wait until the source asks for more."""
    assert reader.waiting.acquire(timeout=WAIT_S)
    for number in numbers:
        reader.pictures.put(picture(number))
        assert reader.waiting.acquire(timeout=WAIT_S)
    reader.waiting.release()


def event_while_running(reader: ScriptedReader, listener: Listener) -> CaptureEvent:
    """Let the camera run, as after a silence what comes first is taken for stale, until something is told."""
    for number in range(1000):
        reader.pictures.put(picture(number))
        with suppress(queue.Empty):
            return listener.next(0.01)
    raise AssertionError("nothing was told")


def test_newest_frame_wins() -> None:
    """Who asks late gets the newest frame; the ones before it are counted as dropped and leave a gap in seq."""
    reader = ScriptedReader()
    source = LiveSource(camera_of(reader), Camera(), Listener())
    give(reader, 1, 2, 3)
    frame = next_frame(source)
    assert (number_of(frame.image), frame.seq) == (3, 2)
    assert (source.counts().captured, source.counts().dropped) == (3, 2)
    assert source.read(0.0) is None
    reader.pictures.put(None)
    source.close()


def test_frame_nobody_wanted_in_time_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame that grew too old in the slot is dropped, not delivered."""
    monkeypatch.setattr(live, "SILENCE_S", 0.0)
    reader = ScriptedReader()
    source = LiveSource(camera_of(reader), Camera(), Listener())
    give(reader, 1)
    assert source.read(0.0) is None
    assert source.counts().dropped == 1
    reader.pictures.put(None)
    source.close()


def test_hanging_driver_is_told() -> None:
    """A read that no time-out ends is told as a loss while it hangs, and as a return when frames come again."""
    reader, listener = ScriptedReader(), Listener()
    source = LiveSource(camera_of(reader), Camera(read_timeout_s=0.05), listener)
    give(reader, 1)
    assert listener.next().code == "camera.opened"
    lost = listener.next()
    assert (lost.code, lost.message) == ("camera.lost", "the camera does not answer")
    assert event_while_running(reader, listener).code == "camera.back"
    reader.pictures.put(None)
    source.close()


def test_hanging_open_is_told() -> None:
    """A camera that hangs while it is opened is told as lost after the open time-out."""
    answers, listener = threading.Event(), Listener()

    def open_never() -> Reader:
        answers.wait(WAIT_S)
        raise CaptureError("no answer")

    source = LiveSource(Feed("scripted", open_never, finite=False), Camera(open_timeout_s=0.05), listener)
    assert listener.next().message == "the camera does not answer"
    answers.set()
    source.close()
    assert listener.rest() == []


def test_unexpected_failure_is_a_loss_and_not_the_end() -> None:
    """An exception nobody foresaw is logged with its traceback, and the camera is opened again."""
    reader, listener = ScriptedReader(), Listener()
    with capture_logs() as logs:
        source = LiveSource(camera_of(RuntimeError("defect"), reader), Camera(), listener)
        lost = listener.next()
        reader.pictures.put(picture(1))
        assert listener.next().code == "camera.back"
    assert (lost.code, lost.facts["cause"]) == ("camera.lost", "the reader failed: RuntimeError")
    assert [entry["exc_info"] for entry in logs if entry["event"] == "camera.reader_failed"] == [True]
    reader.pictures.put(None)
    source.close()


def test_failing_listener_does_not_end_the_source() -> None:
    """A listener that raises costs one connection, not the source."""
    first, second = ScriptedReader(), ScriptedReader()

    def listener(event: CaptureEvent) -> None:
        if event.code != "camera.back":
            raise RuntimeError("the listener's own fault")

    with capture_logs():
        source = LiveSource(camera_of(first, second), Camera(), listener)
        first.pictures.put(picture(1))
        assert first.closed.wait(WAIT_S)
        give(second, 2)
        assert number_of(next_frame(source).image) == 2
        second.pictures.put(None)
        source.close()


def test_damaged_frame_is_passed_over() -> None:
    """One frame that cannot be decoded costs that frame, not the connection."""
    reader, listener = ScriptedReader(), Listener()
    reader.retrieve = iter([None, picture(2)]).__next__  # type: ignore[method-assign]
    source = LiveSource(camera_of(reader), Camera(), listener)
    give(reader, 1, 2)
    assert number_of(next_frame(source).image) == 2
    assert listener.rest() == ["camera.opened"]
    reader.pictures.put(None)
    source.close()


def test_frames_that_are_all_damaged_are_a_loss() -> None:
    """A camera of which nothing can be decoded for the length of the read time-out is lost."""
    reader, listener = ScriptedReader(), Listener()
    reader.retrieve = lambda: None  # type: ignore[method-assign]
    source = LiveSource(camera_of(reader), Camera(read_timeout_s=0.001), listener)
    while not reader.closed.wait(0.002):
        reader.pictures.put(picture(1))
    assert listener.next().message == "frames come, but cannot be decoded"
    source.close()


def test_every_handle_is_closed() -> None:
    """The camera is released after a loss and when the source is closed."""
    first, second = ScriptedReader(), ScriptedReader()
    source = LiveSource(camera_of(first, second), Camera(), Listener())
    first.pictures.put(None)
    assert first.closed.wait(WAIT_S)
    second.pictures.put(picture(1))
    next_frame(source)
    second.pictures.put(picture(2))
    source.close()
    second.pictures.put(None)
    assert second.closed.wait(WAIT_S)


@pytest.mark.parametrize("source", ["/dev/video99", "99"])
def test_absent_camera_is_a_loss(source: str) -> None:
    """A camera that is not plugged in is told as lost, and is no error at the start."""
    listener = Listener()
    with opened(listener, source=source):
        lost = listener.next()
    assert (lost.code, lost.facts["cause"]) == ("camera.lost", "there is no /dev/video99")
