"""Promises of the RTMO decoder."""

import numpy as np
from hypothesis import given

from agent.poses.rtmo import RtmoDecoder
from tests.poses.crowds import LETTERBOX, Floats, assert_decoded, corners_of, crowds, scores_for

DECODER = RtmoDecoder(person_score_min=0.2, persons_max=50)


def draw_people(people: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """Draw dets (1, N + 1, 5) and keypoints (1, N + 1, 17, 3) for ``people``, and a row of padding at the end."""
    dets = np.concatenate((corners_of(people), scores[:, None]), axis=1)
    padding = np.array([[3, 4, 50, 60, 0.02]], np.float32)
    return np.concatenate((dets, padding))[None], np.concatenate((people, np.ones((1, 17, 3), np.float32)))[None]


@given(crowds())
def test_every_drawn_skeleton_is_decoded(people: Floats) -> None:
    """Up to twelve people, overlapping and cut by borders, come back where they were drawn, best first."""
    scores = scores_for(people)
    assert_decoded(DECODER.decode(draw_people(people, scores), LETTERBOX), people, scores)


def test_nobody_in_view_is_an_empty_result() -> None:
    """No row at all, or padding alone, gives no person."""
    nobody = np.zeros((0, 17, 3), np.float32)
    assert len(DECODER.decode(draw_people(nobody, np.zeros(0, np.float32)), LETTERBOX)) == 0
    none = (np.zeros((1, 0, 5), np.float32), np.zeros((1, 0, 17, 3), np.float32))
    assert len(DECODER.decode(none, LETTERBOX)) == 0


@given(crowds())
def test_scores_are_bounded(people: Floats) -> None:
    """No score is below person_score_min or above 1, not even those a quantised network rounds past 1."""
    dets, keypoints = draw_people(people, scores_for(people) * np.float32(1.1))
    keypoints[..., 2] *= 1.01
    poses = RtmoDecoder(person_score_min=0.5, persons_max=3).decode((dets, keypoints), LETTERBOX)
    assert ((poses.scores >= 0.5) & (poses.scores <= 1)).all()
    assert ((poses.keypoints[..., 2] >= 0) & (poses.keypoints[..., 2] <= 1)).all()
    assert len(poses) == min(3, int((scores_for(people) * np.float32(1.1) >= 0.5).sum()))
