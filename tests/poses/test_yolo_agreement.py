"""Recorded outputs of Ultralytics' networks, decoded here and by their own predict (``make yolo-agreement``)."""

import pytest

from tests.poses.yolo_agreement import AGREED_PX, Seen, sample
from tests.poses.yolo_agreement_inside import LIKELY


@pytest.mark.parametrize("seen", list(sample()), ids=lambda seen: f"{seen.network}-{seen.picture}")
def test_every_person_is_where_their_predict_has_it(seen: Seen) -> None:
    """As many people, in the same order, boxes and joints within 0.2 pixels of the picture, the same scores."""
    assert len(seen.scores) >= 2
    px, score = seen.apart(seen.decoded())
    assert px <= AGREED_PX
    assert score <= 1e-6


def test_the_sample_has_duplicates_to_suppress() -> None:
    """What is compared above is not just a threshold: many guesses go because a better one overlaps them."""
    left = {f"{seen.network} {seen.picture}": len(seen.scores) for seen in sample() if len(seen.raw[0]) == 56}
    assert len(left) == 6
    assert min(left.values()) < LIKELY / 2
