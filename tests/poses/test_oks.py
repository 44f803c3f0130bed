"""Object keypoint similarity, against pycocotools' own."""

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from agent.poses.oks import AREA_OF_BOX, SIGMAS, oks, similarity
from agent.poses.skeleton import Poses


def pycocotools_oks(reference: Any, area: Any, others: Any) -> Any:
    """(N, M), from COCOeval.computeOks, which sorts what is found by score: kept in order here."""
    truth, found = COCO(), COCO()
    people = [
        {"id": n + 1, "keypoints": joints.ravel().tolist(), "area": float(area[n]), "bbox": [0, 0, 1, 1]}
        for n, joints in enumerate(reference)
    ]
    for data, annotations in ((truth, people), (found, [{"keypoints": o.ravel().tolist()} for o in others])):
        data.dataset = {
            "images": [{"id": 1}],
            "categories": [{"id": 1}],
            "annotations": [
                {"image_id": 1, "category_id": 1, "id": n + 1, "num_keypoints": 1, "iscrowd": 0, "score": -n, "area": 1}
                | annotation
                for n, annotation in enumerate(annotations)
            ],
        }
        with contextlib.redirect_stdout(io.StringIO()):
            data.createIndex()
    evaluation = COCOeval(truth, found, "keypoints")
    evaluation._prepare()
    return np.array(evaluation.computeOks(1, 1)).T


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 6))
def test_equals_pycocotools(seed: int, people: int, others: int) -> None:
    """Random poses, some joints of them unseen, are as alike as pycocotools finds them."""
    random = np.random.default_rng(seed)
    reference = random.uniform(0, 200, (people, 17, 3)).astype(np.float32)
    reference[..., 2] = random.random((people, 17)) < 0.7
    reference[:, 0, 2] = 2
    found = np.concatenate([reference[random.integers(people)][None] for _ in range(others)])
    found[..., :2] += random.normal(0, random.uniform(0, 30), (others, 17, 2)).astype(np.float32)
    area = random.uniform(100, 40000, people).astype(np.float32)
    np.testing.assert_allclose(oks(reference, area, found), pycocotools_oks(reference, area, found), atol=1e-5)


def test_sigmas_are_those_of_pycocotools() -> None:
    """The constants are COCO's."""
    evaluation = COCOeval(iouType="keypoints")
    np.testing.assert_allclose(SIGMAS, evaluation.params.kpt_oks_sigmas, atol=1e-7)


def standing(left: float) -> Poses:
    """One person 40 wide and 100 tall."""
    joints = np.stack((left + np.linspace(0, 40, 17), np.linspace(0, 100, 17), np.full(17, 0.9)), axis=1)
    return Poses(joints[None].astype(np.float32), np.array([[left, 0, 40, 100]], np.float32), np.array([0.8], "f4"))


def test_joints_the_reference_does_not_see_do_not_count() -> None:
    """A wild guess of an unseen joint makes nobody unlike themselves; without a seen joint nobody is like anybody."""
    one, other = standing(10), standing(10)
    one.keypoints[0, 9] = (500, 500, 0.1)
    assert similarity(one, other, 0.2)[0, 0] == pytest.approx(1)
    assert similarity(other, one, 0.2)[0, 0] == pytest.approx(16 / 17)
    assert similarity(one, other, 0.95)[0, 0] == 0


def test_larger_people_may_be_further_off() -> None:
    """Distances count by the area of the person, taken as a part of the box."""
    area = np.array([40 * 100], np.float32) * AREA_OF_BOX
    one, other = standing(10), standing(13)
    assert similarity(one, other, 0.2) == pytest.approx(oks(one.keypoints, area, other.keypoints))
    assert similarity(one, Poses.nobody(), 0.2).shape == (1, 0)
    assert similarity(Poses.nobody(), one, 0.2).shape == (0, 1)
