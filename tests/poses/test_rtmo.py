"""Promises of the RTMO decoder."""

import numpy as np
from hypothesis import given

from agent.poses.rtmo import RtmoDecoder
from tests.models.own_networks import SCORES, people
from tests.poses.crowds import LETTERBOX, Floats, assert_decoded, corners_of, crowds, scores_for

EVERYBODY = RtmoDecoder(person_score_min=0.2, persons_max=50, nms_iou=1.0)


def draw_people(crowd: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """Draw dets (1, N + 1, 5) and keypoints (1, N + 1, 17, 3) for ``crowd``, and a row of padding at the end."""
    dets = np.concatenate((corners_of(crowd), scores[:, None]), axis=1)
    padding = np.array([[3, 4, 50, 60, 0.02]], np.float32)
    return np.concatenate((dets, padding))[None], np.concatenate((crowd, np.ones((1, 17, 3), np.float32)))[None]


@given(crowds())
def test_every_drawn_skeleton_is_decoded(crowd: Floats) -> None:
    """Up to twelve people, overlapping and cut by borders, come back where they were drawn, best first."""
    scores = scores_for(crowd)
    assert_decoded(EVERYBODY.decode(draw_people(crowd, scores), LETTERBOX), crowd, scores)


def test_nobody_in_view_is_an_empty_result() -> None:
    """No row at all, or padding alone, gives no person."""
    nobody = np.zeros((0, 17, 3), np.float32)
    assert len(EVERYBODY.decode(draw_people(nobody, np.zeros(0, np.float32)), LETTERBOX)) == 0
    none = (np.zeros((1, 0, 5), np.float32), np.zeros((1, 0, 17, 3), np.float32))
    assert len(EVERYBODY.decode(none, LETTERBOX)) == 0


@given(crowds())
def test_scores_are_bounded(crowd: Floats) -> None:
    """No score is below person_score_min or above 1, not even those a quantised network rounds past 1."""
    dets, keypoints = draw_people(crowd, scores_for(crowd) * np.float32(1.1))
    keypoints[..., 2] *= 1.01
    poses = RtmoDecoder(person_score_min=0.5, persons_max=3, nms_iou=0.65).decode((dets, keypoints), LETTERBOX)
    assert ((poses.scores >= 0.5) & (poses.scores <= 1)).all()
    assert ((poses.keypoints[..., 2] >= 0) & (poses.keypoints[..., 2] <= 1)).all()
    assert len(poses) == min(3, int((scores_for(crowd) * np.float32(1.1) >= 0.5).sum()))


def test_guesses_of_one_person_are_one() -> None:
    """Where the graph chooses nobody each person is guessed several times: the best guess is kept, nobody is lost."""
    apart = people()
    dets, keypoints = draw_people(apart, SCORES)
    worse = dets.copy()
    worse[..., 4] *= 0.9
    both = np.concatenate((worse, dets), axis=1), np.concatenate((keypoints + np.float32(3), keypoints), axis=1)
    decoder = RtmoDecoder(person_score_min=0.2, persons_max=50, nms_iou=0.65)
    assert_decoded(decoder.decode(both, LETTERBOX), apart, SCORES)
