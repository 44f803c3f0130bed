"""The decoder against the graph as Google published it, on real pictures."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from numpy.typing import NDArray

from agent.capture.frame import Frame, Image
from agent.config.tree import InputSize
from agent.inference.engine import Engine
from agent.inference.letterbox import Letterbox, prepare
from agent.inference.spec import input_size
from agent.poses.movenet import Heads, MoveNetDecoder
from models.shelf.store import Store
from tests.footage import as_frame, clip_frames, photographs
from tests.inference.engines import CARD, DECODER, heads_of, movenet
from tests.poses.original import Selection, select

Engines = Callable[[tuple[int, int]], Engine]

pytestmark = pytest.mark.slow
SCORE_MIN = 0.05
"""Of the people that the published graph reports and that are compared."""
EVERYBODY = MoveNetDecoder(person_score_min=0.01, persons_max=100)


class Published:
    """People of the published graph, (N, ...), in pixels of the input."""

    def __init__(self, whole: ov.CompiledModel, image: Image) -> None:
        height, width = image.shape[:2]
        rows = whole(image[None, ..., ::-1].astype(np.int32))["Identity:0"][0]
        rows = rows[rows[:, 55] >= SCORE_MIN]
        self.scores = rows[:, 55]
        joints = rows[:, :51].reshape(-1, 17, 3)
        self.joints = joints[..., 1::-1] * (width, height)
        self.joint_scores = joints[..., 2]
        self.corners = rows[:, [52, 51, 54, 53]] * (width, height, width, height)


@pytest.fixture(scope="module")
def whole(store: Store) -> Any:
    return ov.Core().compile_model(store.whole(CARD.name), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


@pytest.fixture(scope="module")
def engines(store: Store) -> Engines:
    return cache(lambda size: movenet(store, size))


@pytest.fixture(scope="module")
def pictures(store: Store, shared_data: Path) -> list[Frame]:
    return photographs(shared_data) + clip_frames(store, range(0, 780, 65))


def fitted(frame: Frame, long_side: int) -> Image:
    """Letterbox a frame into the input it gets at this long side."""
    image = np.empty((*input_size(InputSize(long_side=long_side), CARD, frame), 3), np.uint8)
    prepare(frame, image)
    return image


def identity(image: Image) -> Letterbox:
    height, width = image.shape[:2]
    return Letterbox.fit((0, 0, width, height), (height, width))


def nearest(joints: NDArray[Any], among: NDArray[Any]) -> tuple[int, float]:
    """Index of the person whose farthest joint is nearest to those of ``joints``, (17, 2), and that distance."""
    distance = np.abs(among - joints).max(axis=(1, 2))
    return int(distance.argmin()), float(distance.min())


@pytest.mark.parametrize("long_side", [256, 384])
def test_everybody_the_published_graph_reports_is_found(
    long_side: int, whole: ov.CompiledModel, engines: Engines, pictures: list[Frame]
) -> None:
    """All 17 joints and the box of every person of the published graph are found within half a pixel of the input."""
    compared = 0
    for frame in pictures:
        image = fitted(frame, long_side)
        published = Published(whole, image)
        poses = EVERYBODY.decode(heads_of(engines(image.shape[:2]), image), identity(image))
        for joints, corners in zip(published.joints, published.corners, strict=True):
            found, distance = nearest(joints, poses.keypoints[..., :2])
            assert distance <= 0.5, f"picture {frame.seq}"
            box = poses.boxes[found]
            assert np.abs(np.concatenate((box[:2], box[:2] + box[2:])) - corners).max() <= 0.5, f"picture {frame.seq}"
            compared += 1
    assert compared > 60


def test_scores_differ_from_the_published_graph_in_one_step_alone(
    whole: ov.CompiledModel, engines: Engines, pictures: list[Frame]
) -> None:
    """A joint scores the weight its own person gives its cell; in the published graph, the highest of all six people's.

    Weight is the heatmap times the Gaussian around the person's guess, inside the person's box. Both scores come out
    of one account of the published graph's arithmetic, which differs in this maximum over people and nothing else.
    """
    shared = False
    for frame in pictures:
        image = fitted(frame, 384)
        published = Published(whole, image)
        heads = heads_of(engines(image.shape[:2]), image)
        poses, account = EVERYBODY.decode(heads, identity(image)), select(Heads(*heads))
        for joints, joint_scores, score in zip(published.joints, published.joint_scores, published.scores, strict=True):
            here, _ = nearest(joints, account.joints)
            found, _ = nearest(joints, poses.keypoints[..., :2])
            check_scores(account, here, account.shared_scores, joint_scores, score)
            check_scores(account, here, account.own_scores, poses.keypoints[found, :, 2], poses.scores[found])
            shared |= bool((account.shared_scores[here] > account.own_scores[here] + 0.01).any())
    assert shared, "no two people overlap on these pictures: the test shows nothing"


def check_scores(
    account: Selection, person: int, accounted: NDArray[Any], joint_scores: NDArray[Any], score: float
) -> None:
    np.testing.assert_allclose(joint_scores, accounted[person], atol=1e-4)
    assert score == pytest.approx(account.person_scores(accounted)[person], abs=1e-4)


def test_more_than_six_people_are_found_in_the_clip(engines: Engines, store: Store) -> None:
    """On a frame of the clip with eight people, 512 pixels wide, more than six are found."""
    (frame,) = clip_frames(store, [715])
    image = fitted(frame, 512)
    poses = DECODER.decode(heads_of(engines(image.shape[:2]), image), identity(image))
    assert 7 <= len(poses) <= 9


def test_more_than_six_people_are_found_in_a_crowd(engines: Engines, shared_data: Path) -> None:
    """Of the twelve people annotated on four photographs laid side by side, at least nine are found."""
    tile = 384
    photos = photographs(shared_data)
    tiles = [np.empty((tile, tile, 3), np.uint8) for _ in photos]
    letterboxes = [prepare(photo, out) for photo, out in zip(photos, tiles, strict=True)]
    crowd = np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])])
    image = np.empty((512, 512, 3), np.uint8)
    letterbox = prepare(as_frame(crowd), image)
    poses = DECODER.decode(heads_of(engines((512, 512)), image), letterbox)

    found = {
        number
        for number, (photo, joints, seen, size) in enumerate(annotated(shared_data))
        if near(
            letterboxes[photo].to_input(joints) + np.array((tile * (photo % 2), tile * (photo // 2))),
            seen,
            size * float(letterboxes[photo].scale[0]),
            poses.keypoints[..., :2],
        )
    }
    assert len(found) >= 9


def near(joints: NDArray[Any], seen: NDArray[np.bool_], size: float, among: NDArray[Any]) -> bool:
    """Whether half of the seen joints of somebody lie within a tenth of the person's size."""
    distance = np.linalg.norm(among - joints, axis=-1)[:, seen]
    return bool((np.median(distance, axis=1) < 0.1 * size).any())


def annotated(shared_data: Path) -> list[tuple[int, NDArray[Any], NDArray[np.bool_], float]]:
    """Photograph, joints (17, 2), which are labelled, and the root of the area, of each person with labelled joints."""
    truth = json.loads((shared_data / "coco-mini" / "person_keypoints.json").read_text())
    photo_of = {image["id"]: n for n, image in enumerate(sorted(truth["images"], key=lambda i: i["file_name"]))}
    people = []
    for person in truth["annotations"]:
        if person["num_keypoints"]:
            joints = np.array(person["keypoints"], float).reshape(17, 3)
            people.append((photo_of[person["image_id"]], joints[:, :2], joints[:, 2] > 0, person["area"] ** 0.5))
    return people
