"""Video files and folders of images: inline and lossless, or live as a camera would be."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from agent.capture import EndOfSource, Frame, Image, Source, open_source
from agent.config.tree import Camera
from agent.errors import CaptureError
from tests.capture.helpers import WAIT_S, Listener, next_frame, opened
from tests.capture.pictures import number_of, picture, write_folder, write_video


def read_all(source: Source) -> Iterator[Frame]:
    """Read frames until the source raises."""
    while True:
        yield next_frame(source)


def pictures_of(source: Source) -> Iterator[Image]:
    """Read to the end."""
    with suppress(EndOfSource):
        for frame in read_all(source):
            yield frame.image


def all_numbers(source: Source) -> list[int]:
    numbers: list[int] = []
    with pytest.raises(EndOfSource):
        numbers.extend(number_of(frame.image) for frame in read_all(source))
    return numbers


@pytest.mark.parametrize("options", [{"pace": "fast"}, {"lossless": True}, {"pace": "fast", "lossless": True}])
def test_video_loses_none(tmp_path: Path, options: dict[str, Any]) -> None:
    """A file read fast or lossless gives every frame once, in order, and ends."""
    with opened(source=str(write_video(tmp_path / "a.avi", 12)), **options) as source:
        assert all_numbers(source) == list(range(12))
        assert source.counts().captured == 12
        assert source.counts().dropped == 0


def test_folder_loses_none(tmp_path: Path) -> None:
    """A folder gives its images in the order of their names and passes over other files."""
    folder = write_folder(tmp_path / "images", 5)
    (folder / "000.txt").write_text("notes")
    with opened(source=str(folder), pace="fast") as source:
        assert all_numbers(source) == list(range(5))


@pytest.mark.parametrize("kind", [write_video, write_folder])
def test_looping(tmp_path: Path, kind: Any) -> None:
    """A looped file starts again at its end, while the sequence number goes on."""
    with opened(source=str(kind(tmp_path / "a.avi", 4)), pace="fast", loop=True) as source:
        frames = [next_frame(source) for _ in range(10)]
    assert [number_of(frame.image) for frame in frames] == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    assert [frame.seq for frame in frames] == list(range(10))


def test_pixels_come_unchanged(tmp_path: Path) -> None:
    """An image out of a folder is the image, BGR and to the last bit."""
    with opened(source=str(write_folder(tmp_path / "images", 3)), pace="fast") as source:
        assert (next_frame(source).image == picture(0)).all()
        assert (next_frame(source).image == picture(1)).all()


def test_cap_counts_in_the_time_of_the_file(tmp_path: Path) -> None:
    """Of a 30 fps file, a cap of 10 takes every third frame at any pace, and the rest is not counted."""
    video = write_video(tmp_path / "a.avi", 12, fps=30)
    with opened(source=str(video), pace="fast", fps_max=10) as source:
        assert all_numbers(source) == [0, 3, 6, 9]
        assert source.counts().captured == 4


def test_native_pace_is_waited_for(tmp_path: Path) -> None:
    """A lossless file at its own pace gives no frame before its time: an early read returns None."""
    video = write_video(tmp_path / "a.avi", 3, fps=0.5)
    with opened(source=str(video), lossless=True) as source:
        assert number_of(next_frame(source).image) == 0
        assert source.read(0.01) is None


def test_native_pace_is_the_pace_of_the_file(tmp_path: Path) -> None:
    """Frames at native pace are as far apart as the file says, no closer."""
    with opened(source=str(write_video(tmp_path / "a.avi", 6, fps=50)), lossless=True) as source:
        frames = [next_frame(source) for _ in range(6)]
    assert frames[5].captured_s - frames[0].captured_s >= 0.09


def test_folder_has_a_pace(tmp_path: Path) -> None:
    """Images of a folder come folder_fps a second."""
    with opened(source=str(write_folder(tmp_path / "images", 3)), lossless=True, folder_fps=0.5) as source:
        next_frame(source)
        assert source.read(0.01) is None


def test_close_ends_the_wait_for_a_frame(tmp_path: Path) -> None:
    """A read that waits for its due time returns when the source is closed."""
    video = write_video(tmp_path / "a.avi", 3, fps=0.02)
    with opened(source=str(video), lossless=True) as source:
        next_frame(source)
        results: list[Frame | None] = []

        def read() -> None:
            try:
                results.append(source.read(WAIT_S))
            except EndOfSource:
                results.append(None)

        reading = threading.Thread(target=read)
        reading.start()
        source.close()
        reading.join(WAIT_S / 4)
        assert results == [None]


def test_live_file_behaves_as_a_camera(tmp_path: Path) -> None:
    """Played live, a file drops what nobody reads, counts it, and ends with its last frame."""
    listener = Listener()
    with opened(listener, source=str(write_video(tmp_path / "a.avi", 20, fps=200))) as source:
        assert listener.next().code == "camera.opened"
        threads = [thread for thread in threading.enumerate() if thread.name == "capture"]
        for thread in threads:
            thread.join(WAIT_S)
        assert number_of(next_frame(source).image) == 19
        with pytest.raises(EndOfSource):
            source.read(WAIT_S)
        assert source.counts().captured == 20
        assert source.counts().dropped == 19


def test_live_file_loops(tmp_path: Path) -> None:
    """A looped live file is never lost and never ends."""
    listener = Listener()
    with opened(listener, source=str(write_video(tmp_path / "a.avi", 3, fps=200)), loop=True) as source:
        while next_frame(source).seq < 20:
            pass
    assert listener.rest() == ["camera.opened"]


def test_clip_is_resolved_by_name(tmp_path: Path) -> None:
    """clip:NAME is the file that the catalogue finds for the name."""
    video = write_video(tmp_path / "a.avi", 2)
    camera = Camera(source="clip:gym", pace="fast")
    source = open_source(camera, resolve_clip={"gym": video}.__getitem__, notify=Listener())
    assert all_numbers(source) == [0, 1]
    source.close()


def test_missing_file_is_told_at_once(tmp_path: Path) -> None:
    """A wrong path is an error at the start that names it and what could stand there."""
    with (
        pytest.raises(CaptureError, match=r"no .*gone\.mp4; expected a video file"),
        opened(source=f"{tmp_path}/gone.mp4"),
    ):
        pass


@pytest.mark.parametrize("content", [b"", b"no video at all\n" * 100, b"RIFF\x00\x00\x00\x00AVI LIST"])
def test_unreadable_file_is_told_at_once(tmp_path: Path, content: bytes) -> None:
    """A file that is no video is an error at the start, live or not."""
    path = tmp_path / "broken.avi"
    path.write_bytes(content)
    for lossless in (True, False):
        with pytest.raises(CaptureError, match=r"broken\.avi"), opened(source=str(path), lossless=lossless):
            pass


def test_folder_without_images_is_told_at_once(tmp_path: Path) -> None:
    """An empty folder is an error at the start that says what it should hold."""
    with pytest.raises(CaptureError, match=r"holds no images .*\.png"), opened(source=str(tmp_path)):
        pass


@pytest.mark.parametrize("options", [{"pace": "fast"}, {"folder_fps": 200}])
def test_damaged_image_is_named_and_passed_over(tmp_path: Path, options: dict[str, Any]) -> None:
    """An image that cannot be decoded is named in the log, counted and told; the ones after it come."""
    folder = write_folder(tmp_path / "images", 2)
    (folder / "001.png").rename(folder / "002.png")
    (folder / "001.png").write_bytes(b"not a picture")
    listener = Listener()
    with capture_logs() as logs, opened(listener, source=str(folder), **options) as source:
        last = list(pictures_of(source))[-1]
        assert number_of(last) == 1
        assert source.counts().damaged == 1
    assert [log["file"] for log in logs if log["event"] == "camera.image_damaged"] == [str(folder / "001.png")]
    assert "camera.damaged" in listener.rest()


@pytest.mark.parametrize("options", [{"pace": "fast"}, {}])
def test_file_that_vanishes_while_looping(tmp_path: Path, options: dict[str, Any]) -> None:
    """A looped file that is deleted becomes an error, neither an endless wait nor a quiet end."""
    video = write_video(tmp_path / "a.avi", 3)
    with opened(source=str(video), loop=True, **options) as source:
        next_frame(source)
        video.unlink()
        with pytest.raises(CaptureError, match=r"a\.avi"):
            list(read_all(source))
