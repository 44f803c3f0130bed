"""Promises of the annotated video file."""

from datetime import UTC, datetime
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from agent.capture.frame import Frame
from agent.errors import ConfigError
from agent.output.video import CODECS, AnnotatedVideo
from agent.pipeline import Result
from agent.poses.skeleton import Poses
from tests.poses.people import standing


def result(seq: int, size: tuple[int, int], poses: Poses | None = None) -> Result:
    """One result of a grey frame of ``size`` (height, width), 40 ms after the one before it."""
    image = np.full((*size, 3), 90, np.uint8)
    frame = Frame(image, seq, datetime.now(UTC), 0.04 * seq, 0.0)
    return Result(frame, poses or Poses.nobody(), engine=1, model="movenet-multipose")


def read_back(path: Path) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    video = cv2.VideoCapture(str(path))
    frames = []
    while (got := video.read())[0]:
        frames.append(np.asarray(got[1], np.uint8))
    video.release()
    return frames


@pytest.mark.parametrize("suffix", sorted(CODECS))
def test_what_was_written_can_be_read(suffix: str, tmp_path: Path) -> None:
    """Every result becomes one frame of the size of the first, at the asked rate, in every offered format."""
    path = tmp_path / f"out{suffix}"
    with AnnotatedVideo(path, 12.5) as video:
        for seq in range(17):
            video.write(result(seq, (240, 322)))
    frames = read_back(path)
    assert [frame.shape for frame in frames] == [(240, 322, 3)] * 17
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS) == pytest.approx(12.5, rel=0.01)


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "h264"), (".mkv", "h264"), (".avi", "mjpeg")])
def test_browsers_play_it(suffix: str, codec: str, tmp_path: Path) -> None:
    """H.264 in the colours that browsers take, its table of contents before its pictures."""
    path = tmp_path / f"out{suffix}"
    with AnnotatedVideo(path, 10) as video:
        for seq in range(3):
            video.write(result(seq, (75, 101)))
    with av.open(str(path)) as file:
        (stream,) = file.streams.video
        assert stream.codec_context.name == codec
        assert stream.codec_context.pix_fmt == ("yuv420p" if codec == "h264" else "yuvj420p")
    content = path.read_bytes()
    assert suffix != ".mp4" or content.index(b"moov") < content.index(b"mdat")


def test_without_an_encoder_of_h264_another_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MPEG-4's own, which FFmpeg always has."""
    monkeypatch.setattr("agent.output.video.av.codecs_available", {"mpeg4", "mjpeg"})
    with AnnotatedVideo(tmp_path / "out.mp4", 10) as video:
        video.write(result(0, (240, 320)))
    assert len(read_back(tmp_path / "out.mp4")) == 1


@pytest.mark.parametrize("suffix", sorted(CODECS))
def test_a_killed_process_leaves_what_it_had_written(suffix: str, tmp_path: Path) -> None:
    """A file that was never finished plays, but for its last seconds."""
    path, copy = tmp_path / f"out{suffix}", tmp_path / f"copy{suffix}"
    noise = np.random.default_rng(7).integers(0, 255, (240, 320, 3), np.uint8)
    with AnnotatedVideo(path, 10) as video:
        for seq in range(200):
            frame = Frame(np.roll(noise, seq, axis=1), seq, datetime.now(UTC), 0.1 * seq, 0.0)
            video.write(Result(frame, Poses.nobody(), engine=1, model="movenet-multipose"))
        copy.write_bytes(path.read_bytes())
    assert len(read_back(copy)) >= 50
    assert len(read_back(path)) == 200


@pytest.mark.parametrize("suffix", sorted(CODECS))
def test_a_full_disk_is_told_once(suffix: str, tmp_path: Path) -> None:
    """Whoever writes or closes hears of it; or the one who is there to hear it, and nobody else is bothered."""
    path = tmp_path / f"out{suffix}"
    path.symlink_to("/dev/full")
    with pytest.raises(ConfigError, match="cannot be written: No space left on device"):
        written_to(AnnotatedVideo(path, 10))
    heard: list[ConfigError] = []
    written_to(AnnotatedVideo(path, 10, on_failure=heard.append))
    (error,) = heard
    assert (str(path) in str(error), "room" in error.hint) == (True, True)


def written_to(video: AnnotatedVideo) -> None:
    """Some seconds of what no codec makes small."""
    chance = np.random.default_rng(7)
    with video:
        for seq in range(30):
            frame = Frame(chance.integers(0, 255, (240, 320, 3), np.uint8), seq, datetime.now(UTC), 0.1 * seq, 0.0)
            video.write(Result(frame, Poses.nobody(), engine=1, model="movenet-multipose"))


@pytest.mark.parametrize("suffix", sorted(CODECS))
def test_odd_sides_lose_one_line(suffix: str, tmp_path: Path) -> None:
    """Codecs take even sides alone: the last row or column of an odd picture is cut, no frame is refused."""
    path = tmp_path / f"out{suffix}"
    with AnnotatedVideo(path, 10) as video:
        for seq in range(3):
            video.write(result(seq, (75, 101)))
    assert [frame.shape for frame in read_back(path)] == [(74, 100, 3)] * 3


def test_people_are_drawn(tmp_path: Path) -> None:
    """A person changes the frame where the person stands."""
    with AnnotatedVideo(tmp_path / "out.avi", 10) as video:
        video.write(result(0, (240, 320)))
        video.write(result(0, (240, 320), standing(100, 40)))
    empty, peopled = (frame.astype(int) for frame in read_back(tmp_path / "out.avi"))
    changed = np.abs(empty - peopled).max(axis=-1) > 60
    assert changed[40:200, 100:180].any()
    assert not changed[:, 220:].any()


def test_skeletons_stay_on_people_when_the_picture_changes_size(tmp_path: Path) -> None:
    """When a camera comes back at twice the resolution, its people are scaled into the file with the picture."""
    with AnnotatedVideo(tmp_path / "out.avi", 10) as video:
        video.write(result(0, (240, 320)))
        video.write(result(0, (480, 640), standing(500, 300)))
    empty, peopled = (frame.astype(int) for frame in read_back(tmp_path / "out.avi"))
    changed = np.abs(empty - peopled).max(axis=-1) > 60
    assert changed[150:230, 250:290].any()
    assert not changed[:, :220].any()


def test_caption_is_the_rate_of_capture(tmp_path: Path) -> None:
    """The first frame has no rate yet; from the second on the rate stands in the corner."""
    with AnnotatedVideo(tmp_path / "out.avi", 10) as video:
        video.write(result(0, (240, 320)))
        video.write(result(1, (240, 320)))
    first, second = (frame[:30, :110].astype(int) for frame in read_back(tmp_path / "out.avi"))
    assert np.ptp(first) < 30
    assert np.ptp(second) > 100


def test_no_result_leaves_no_file(tmp_path: Path) -> None:
    """The file opens with the first frame."""
    with AnnotatedVideo(tmp_path / "out.mp4", 10):
        pass
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("name", ["out", "out.webm", "out.mp4.part"])
def test_unknown_formats_are_refused_at_once(name: str, tmp_path: Path) -> None:
    """A name whose ending no codec goes with is a fault of the configuration, said before the first frame."""
    with pytest.raises(ConfigError, match=r"expected a name ending in \.mp4, \.avi, \.mkv"):
        AnnotatedVideo(tmp_path / name, 10)


@pytest.mark.parametrize("suffix", sorted(CODECS))
def test_unwritable_folders_are_told(suffix: str, tmp_path: Path) -> None:
    """A file that cannot be made is a fault of the configuration that names the file."""
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / f"out{suffix}"
    with AnnotatedVideo(path, 10) as video, pytest.raises(ConfigError, match="cannot be written") as caught:
        video.write(result(0, (240, 320)))
    assert str(path) in str(caught.value)
