"""Draws the tensor a YOLO-pose export would give for known people."""

import numpy as np
from numpy.typing import NDArray

from tests.poses.crowds import corners_of

Floats = NDArray[np.float32]


def draw_guesses(people: Floats, scores: Floats, anchors: int = 400, repeats: int = 1) -> Floats:
    """(1, 56, anchors): each of ``people`` (N, 17, 3) guessed ``repeats`` times among guesses of nobody.

    The first guess of a person is the best one, with its joints and score; the others are a little off and lower.
    """
    random = np.random.default_rng(anchors + repeats)
    guesses = random.uniform(0, 600, (56, anchors)).astype(np.float32)
    guesses[4] = random.uniform(0, 0.09, anchors)
    guesses[7::3] = random.random((17, anchors))
    places = random.permutation(anchors)[: len(people) * repeats].reshape(len(people), repeats)
    corners = corners_of(people)
    for person, spots in enumerate(places):
        size = corners[person, 2:] - corners[person, :2]
        for repeat, spot in enumerate(spots):
            off = 0 if repeat == 0 else random.uniform(-0.01, 0.01, 2) * size
            guesses[:2, spot] = (corners[person, :2] + corners[person, 2:]) / 2 + off
            guesses[2:4, spot] = size
            guesses[4, spot] = scores[person] * (1 if repeat == 0 else 0.9)
            guesses[5:, spot] = people[person].ravel() + (0 if repeat == 0 else 5)
    return guesses[None]
