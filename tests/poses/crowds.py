"""Random people for the decoders whose networks name each person's joints themselves."""

from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.inference.letterbox import Letterbox
from agent.poses.skeleton import Poses

Floats = NDArray[np.float32]

INPUT = (480, 640)
"""Height and width."""
LETTERBOX = Letterbox.fit((40, 20, 1000, 700), INPUT)
"""Of a region of a large frame: wrong scales, shifts and swapped axes all show."""


@st.composite
def crowds(draw: st.DrawFn, most: int = 12) -> Floats:
    """1-12 random people as (N, 17, 3): x and y in pixels of the input, some beyond its border, and a visibility."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(1, most))
    size = random.uniform(20, 300, (count, 1, 2))
    corner = random.uniform(-size / 4, np.array(INPUT[::-1]) - size * 3 / 4)
    joints = corner + random.random((count, 17, 2)) * size
    return np.concatenate((joints, random.random((count, 17, 1))), axis=2).astype(np.float32)


def corners_of(people: Floats) -> Floats:
    """(N, 4): x1, y1, x2, y2 around each person's joints."""
    return np.concatenate((people[..., :2].min(axis=1), people[..., :2].max(axis=1)), axis=1)


def scores_for(people: Floats) -> Floats:
    """(N,): scores 0.3..0.95, all different, in no order."""
    spread = np.linspace(0.3, 0.95, len(people)).astype(np.float32)
    return np.asarray(np.random.default_rng(len(people)).permutation(spread), np.float32)


def from_corner(points: Floats) -> Floats:
    """The way back of ``corner_to_frame``: (..., 2) in pixels of the large frame to pixels of the input."""
    return np.asarray((points - LETTERBOX.corner) * LETTERBOX.scale, np.float32)


def assert_decoded(
    poses: Poses, people: Floats, scores: Floats, to_input: Callable[[Floats], Floats] = LETTERBOX.to_input
) -> None:
    """Assert that ``poses`` are exactly ``people``, best first, within a tenth of a pixel of the input."""
    order = np.argsort(-scores)
    assert len(poses) == len(people)
    np.testing.assert_array_equal(poses.scores, scores[order])
    np.testing.assert_allclose(to_input(poses.keypoints[..., :2]), people[order, :, :2], atol=0.1)
    np.testing.assert_array_equal(poses.keypoints[..., 2], people[order, :, 2])
    corner = to_input(poses.boxes[:, :2])
    opposite = to_input(poses.boxes[:, :2] + poses.boxes[:, 2:])
    np.testing.assert_allclose(np.concatenate((corner, opposite), axis=1), corners_of(people)[order], atol=0.1)
