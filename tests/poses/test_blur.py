"""Promises of the blur: whom the network found cannot be recognised in anything drawn."""

from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capture.frame import Frame, Image
from agent.output.video import BLUR_FRAMES, AnnotatedVideo
from agent.pipeline import Result
from agent.poses.drawing import BLUR_CELLS, blur_people, person_regions
from agent.poses.skeleton import Poses

HEIGHT, WIDTH = 120, 160
SIDES = st.floats(-300, 300, width=32)
BOXES = st.lists(st.tuples(SIDES, SIDES, st.floats(0, 300, width=32), st.floats(0, 300, width=32)), max_size=5)


def noise() -> Image:
    """A picture that is nothing but detail."""
    return np.random.default_rng(7).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def boxed(*boxes: tuple[float, float, float, float]) -> Poses:
    """People of whom no joint was seen."""
    return Poses(
        np.zeros((len(boxes), 17, 3), np.float32),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.ones(len(boxes), np.float32),
    )


def face(*joints: tuple[float, float]) -> Poses:
    """One person of whom the face alone was seen, in a box around its joints."""
    keypoints = np.zeros((1, 17, 3), np.float32)
    keypoints[0, : len(joints)] = [(x, y, 0.9) for x, y in joints]
    low, high = np.min(joints, axis=0), np.max(joints, axis=0)
    return Poses(keypoints, np.array([(*low, *(high - low))], np.float32), np.ones(1, np.float32))


def steps(picture: Image) -> tuple[int, int]:
    """How many times neighbouring columns, and rows, differ anywhere."""
    values = picture.astype(int)
    across = np.abs(np.diff(values, axis=1)).max(axis=(0, 2))
    down = np.abs(np.diff(values, axis=0)).max(axis=(1, 2))
    return int((across > 0).sum()), int((down > 0).sum())


@given(BOXES)
def test_no_detail_inside_and_nothing_changed_outside(boxes: list[tuple[float, float, float, float]]) -> None:
    """Of each person a few even squares are left; every pixel outside stays; boxes may reach beyond the border."""
    image = noise()
    regions = person_regions(boxed(*boxes))
    blurred = blur_people(image, regions)
    outside = np.ones((HEIGHT, WIDTH), bool)
    for left, top, right, bottom in regions:
        rows = slice(max(0, int(np.floor(top))), max(0, int(np.ceil(bottom))))
        columns = slice(max(0, int(np.floor(left))), max(0, int(np.ceil(right))))
        outside[rows, columns] = False
    assert (blurred[outside] == image[outside]).all()
    assert (image == noise()).all()
    if len(boxes) == 1 and not outside.all():
        down, across = np.flatnonzero(~outside.all(axis=1)), np.flatnonzero(~outside.all(axis=0))
        inside = blurred[down[0] : down[-1] + 1, across[0] : across[-1] + 1]
        assert max(steps(inside)) <= BLUR_CELLS - 1


@given(st.integers(20, 60), st.integers(20, 60))
def test_the_whole_box_and_a_margin_are_covered(width: int, height: int) -> None:
    """The blur reaches beyond the box by 15 % of its long side, to every side."""
    ((left, top, right, bottom),) = person_regions(boxed((50, 40, width, height))).tolist()
    margin = 0.15 * max(width, height)
    assert (left, top) == pytest.approx((50 - margin, 40 - margin), abs=1e-3)
    assert (right, bottom) == pytest.approx((50 + width + margin, 40 + height + margin), abs=1e-3)


def test_a_face_alone_is_covered_from_hair_to_chin() -> None:
    """Where only eyes and ears are seen, the blur reaches as far as a head: a face's width up and down."""
    nose, eyes, ears = (80.0, 64.0), ((85.0, 58.0), (75.0, 58.0)), ((92.0, 60.0), (68.0, 60.0))
    ((left, top, right, bottom),) = person_regions(face(nose, *eyes, *ears)).tolist()
    assert left < 60
    assert right > 100
    assert top < 58 - 24
    assert bottom > 64 + 24


def test_joints_outside_the_box_are_covered() -> None:
    """An arm that the box cuts off is blurred too."""
    poses = boxed((50, 40, 20, 40))
    poses.keypoints[0, 9] = (110, 45, 0.3)
    assert person_regions(poses)[0, 2] > 110


def result(seq: int, poses: Poses, image: Image) -> Result:
    return Result(Frame(image, seq, datetime.now(UTC), 0.0, 0.0), poses, engine=1, model="movenet-multipose")


def detail(picture: Image) -> float:
    """What the coding of a video leaves of the noise: mean difference of neighbouring pixels."""
    return float(np.abs(np.diff(picture.astype(float), axis=1)).mean())


def frames_of(path: Path) -> list[Image]:
    video = cv2.VideoCapture(str(path))
    found = []
    while (got := video.read())[0]:
        found.append(np.asarray(got[1], np.uint8))
    video.release()
    return found


def test_the_video_is_blurred_when_it_is_asked_for(tmp_path: Path) -> None:
    """With blur nobody found can be made out in the annotated video; without it the picture is as it was."""
    box = (60.0, 40.0, 40.0, 40.0)
    seen = {}
    for blur in (False, True):
        with AnnotatedVideo(tmp_path / f"{blur}.avi", 10, blur=blur) as video:
            video.write(result(0, boxed(box), noise()))
        (seen[blur],) = frames_of(tmp_path / f"{blur}.avi")
    inside = slice(44, 76), slice(64, 96)
    assert detail(seen[False][inside]) > 20
    assert detail(seen[True][inside]) < 4
    assert detail(seen[True][:, 110:]) > 20


def test_somebody_missed_for_a_frame_stays_blurred(tmp_path: Path) -> None:
    """Where a person was in the last frames the blur stays, then it goes; another size of picture starts anew."""
    with AnnotatedVideo(tmp_path / "a.avi", 10, blur=True) as video:
        video.write(result(0, boxed((60, 40, 40, 40)), noise()))
        for seq in range(1, BLUR_FRAMES + 1):
            video.write(result(seq, Poses.nobody(), noise()))
        video.write(result(20, boxed((60, 40, 40, 40)), noise()))
        video.write(result(21, Poses.nobody(), noise().repeat(2, axis=0).repeat(2, axis=1)))
    # Of the last picture, which is scaled to half its size, the middle of what the blur would still cover.
    places = [*[(slice(44, 76), slice(64, 96))] * (BLUR_FRAMES + 2), (slice(22, 38), slice(32, 48))]
    frames = frames_of(tmp_path / "a.avi")
    levels = [detail(frame[place]) for frame, place in zip(frames, places, strict=True)]
    assert max(levels[:BLUR_FRAMES]) < 4
    assert levels[BLUR_FRAMES] > 20
    assert levels[-2] < 4
    assert levels[-1] > 20
