"""Promises of the pictures another engine is tried on."""

from dataclasses import replace

import cv2
import numpy as np

from agent.capture import open_source
from agent.capture.frame import Frame
from agent.config.tree import Camera
from agent.control.samples import EVERY_S, LONG_SIDE_MAX, SAMPLES_MAX, Samples
from agent.pipeline import Result
from agent.poses.skeleton import Poses
from models.shelf.store import Store

SOMEBODY = Poses(np.zeros((1, 17, 3), np.float32), np.zeros((1, 4), np.float32), np.full(1, 0.9, np.float32))
NOBODY = Poses(np.zeros((0, 17, 3), np.float32), np.zeros((0, 4), np.float32), np.zeros(0, np.float32))


def first_frame(store: Store) -> Frame:
    source = open_source(
        Camera(source="clip:vtest", pace="fast", lossless=True), resolve_clip=store.clip, notify=lambda _event: None
    )
    frame = source.read(10.0)
    source.close()
    assert frame is not None
    return frame


def at(frame: Frame, number: int, seconds: float, poses: Poses) -> Result:
    return Result(replace(frame, seq=number, captured_s=seconds), poses, 1, "network")


def test_the_last_frames_with_people_are_kept(store: Store) -> None:
    """Of many results those with people count, some time apart, the last so many; neighbours are left out."""
    frame, samples = first_frame(store), Samples()
    assert samples.frames() == ()
    samples.offer(at(frame, 0, 1.0, NOBODY))
    assert [kept.seq for kept in samples.frames()] == [0], "with nobody seen yet it is the last frame"
    for number in range(1, 2 * SAMPLES_MAX + 1):
        samples.offer(at(frame, 10 * number, number * EVERY_S, SOMEBODY))
        samples.offer(at(frame, 10 * number + 1, number * EVERY_S + 0.1, SOMEBODY))
        samples.offer(at(frame, 10 * number + 2, (number + 0.99) * EVERY_S, NOBODY))
    seen = [kept.seq for kept in samples.frames()]
    assert seen == [10 * number for number in range(SAMPLES_MAX + 1, 2 * SAMPLES_MAX + 1)]


def test_before_the_first_result_it_is_what_the_camera_showed(store: Store) -> None:
    """Whoever switches at once gets an input of the picture's shape; a result takes its place."""
    frame = first_frame(store)
    samples = Samples(frame)
    (shown,) = samples.frames()
    assert (shown.area.width, shown.area.height) == (
        LONG_SIDE_MAX,
        LONG_SIDE_MAX * frame.area.height // frame.area.width,
    )
    samples.offer(at(frame, 7, 1.0, NOBODY))
    assert [kept.seq for kept in samples.frames()] == [7]


def test_the_newest_is_in_the_cameras_own_size(store: Store) -> None:
    """What was measured to fit a camera is found again by it, and a sample is smaller."""
    frame = first_frame(store)
    assert Samples().newest is None
    samples = Samples(frame)
    assert samples.newest is frame
    samples.offer(at(frame, 7, 1.0, SOMEBODY))
    assert samples.newest is not None
    assert (samples.newest.seq, samples.newest.area) == (7, frame.area)
    assert samples.frames()[-1].area != frame.area


def test_a_picture_of_another_shape_begins_anew(store: Store) -> None:
    """What was seen before says nothing of what the camera sees now: no sample of it stays, and the next one counts."""
    frame, samples = first_frame(store), Samples()
    half = replace(frame, picture=frame.image[:, : frame.area.width // 2])
    samples.offer(at(frame, 0, 1.0, SOMEBODY))
    samples.offer(at(half, 1, 1.1, NOBODY))
    assert [kept.seq for kept in samples.frames()] == [1], "nobody has been seen in it yet"
    samples.offer(at(half, 2, 1.2, SOMEBODY))
    samples.offer(at(half, 3, 1.3, NOBODY))
    assert [kept.seq for kept in samples.frames()] == [2]


def test_a_sample_is_the_picture_made_smaller(store: Store) -> None:
    """A sample shows what the frame showed, at most so many pixels long."""
    frame, samples = first_frame(store), Samples()
    samples.offer(at(frame, 0, 1.0, SOMEBODY))
    (kept,) = samples.frames()
    assert max(kept.image.shape[:2]) == LONG_SIDE_MAX
    assert kept.image.shape[0] / kept.image.shape[1] == frame.image.shape[0] / frame.image.shape[1]
    assert abs(float(kept.image.mean()) - float(frame.image.mean())) < 2
    small = cv2.resize(frame.image, kept.image.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - kept.image).mean() < 3, "more than JPEG takes"
