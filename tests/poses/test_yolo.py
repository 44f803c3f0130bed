"""Promises of the YOLO-pose decoder."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.poses.yolo import YoloDecoder
from tests.poses.crowds import LETTERBOX, Floats, assert_decoded, corners_of, crowds, from_corner, scores_for
from tests.poses.yolo_guesses import draw_guesses

EVERYBODY = YoloDecoder(person_score_min=0.2, persons_max=50, nms_iou=1.0)


def overlaps(people: Floats) -> Floats:
    """(N, N): intersection over union of the people's boxes, computed one pair at a time; 0 with themselves."""
    boxes = corners_of(people).tolist()
    table = np.zeros((len(boxes), len(boxes)), np.float32)
    for i, (ax1, ay1, ax2, ay2) in enumerate(boxes):
        for j, (bx1, by1, bx2, by2) in enumerate(boxes):
            shared = max(0, min(ax2, bx2) - max(ax1, bx1)) * max(0, min(ay2, by2) - max(ay1, by1))
            if i != j:
                table[i, j] = shared / ((ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - shared)
    return table


@given(crowds())
def test_every_drawn_skeleton_is_decoded(people: Floats) -> None:
    """Up to twelve people, overlapping and cut by borders, come back where they were drawn, best first."""
    scores = scores_for(people)
    assert_decoded(EVERYBODY.decode((draw_guesses(people, scores),), LETTERBOX), people, scores, from_corner)


@given(crowds(), st.integers(2, 8), st.sampled_from([0.5, 0.7, 0.9]))
def test_duplicates_go_and_overlapping_people_stay_as_configured(people: Floats, repeats: int, iou: float) -> None:
    """Of many guesses of one person the best stays; two people are both kept unless their boxes overlap too much."""
    scores = scores_for(people)
    expected: list[int] = []
    table = overlaps(people)
    for person in np.argsort(-scores):
        if (table[person, expected] <= iou).all():
            expected.append(int(person))
    if (np.abs(table - iou) < 0.05).any():
        return  # a guess that is a little off may fall on the other side
    decoder = YoloDecoder(person_score_min=0.2, persons_max=50, nms_iou=iou)
    poses = decoder.decode((draw_guesses(people, scores, repeats=repeats),), LETTERBOX)
    assert_decoded(poses, people[expected], scores[expected], from_corner)


def test_nobody_in_view_is_an_empty_result() -> None:
    """Guesses of low score alone give no person, not an error."""
    nobody = np.zeros((0, 17, 3), np.float32)
    assert len(EVERYBODY.decode((draw_guesses(nobody, np.zeros(0, np.float32)),), LETTERBOX)) == 0


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.6, 1.0])
@given(people=crowds())
def test_scores_stay_within_threshold_and_one(threshold: float, people: Floats) -> None:
    """No score is below person_score_min or above 1, not even those a quantised network rounds past 1."""
    guesses = draw_guesses(people, scores_for(people) * np.float32(1.1))
    guesses[:, 7::3] *= 1.01
    poses = YoloDecoder(person_score_min=threshold, persons_max=20, nms_iou=0.7).decode((guesses,), LETTERBOX)
    assert ((poses.scores >= threshold) & (poses.scores <= 1)).all()
    assert ((poses.keypoints[..., 2] >= 0) & (poses.keypoints[..., 2] <= 1)).all()


def test_persons_max_keeps_the_best_and_the_tensor_is_left_alone() -> None:
    """With more people than persons_max the lowest scores go; the engine's memory is not written to."""
    corner = np.stack(np.meshgrid(np.arange(4), np.arange(4)), -1).reshape(-1, 1, 2) * 60.0
    people = np.zeros((16, 17, 3), np.float32)
    people[..., :2] = corner + np.linspace(4, 40, 17)[None, :, None]
    scores = scores_for(people)
    guesses = draw_guesses(people, scores)
    before = guesses.copy()
    poses = YoloDecoder(person_score_min=0.2, persons_max=5, nms_iou=0.7).decode((guesses,), LETTERBOX)
    best = np.argsort(-scores)[:5]
    assert_decoded(poses, people[best], scores[best], from_corner)
    np.testing.assert_array_equal(guesses, before)
