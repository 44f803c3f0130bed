"""Random people for property tests."""

import numpy as np
from hypothesis import strategies as st

from agent.poses.skeleton import Poses


@st.composite
def anybody(draw: st.DrawFn, people_max: int = 8) -> Poses:
    """Up to eight people, partly or wholly outside the picture, with scores that include 0 and 1."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    people = draw(st.integers(0, people_max))
    reach = draw(st.sampled_from((1.0, 300.0, 2e4, 1e6)))
    keypoints = np.empty((people, 17, 3), np.float32)
    keypoints[..., :2] = random.normal(150, reach, (people, 17, 2))
    keypoints[..., 2] = random.choice((0.0, 0.5, 1.0), (people, 17)) * random.choice((1, random.random()), (people, 17))
    boxes = np.concatenate((random.normal(0, reach, (people, 2)), random.random((people, 2)) * reach), axis=1)
    return Poses(keypoints, boxes.astype(np.float32), random.choice((0, 0.25, 1), people).astype(np.float32))


def standing(x: float, y: float, score: float = 0.9) -> Poses:
    """One person 80 by 160 pixels whose top left corner is at x, y; all joints inside, no two in one place."""
    across = np.array((40, 44, 36, 48, 32, 60, 20, 70, 10, 76, 4, 54, 26, 56, 24, 58, 22))
    down = np.array((10, 6, 6, 8, 8, 34, 34, 60, 60, 84, 84, 88, 88, 120, 120, 152, 152))
    joints = np.stack((across + x, down + y, np.full(17, score)), axis=-1).astype(np.float32)
    return Poses(joints[None], np.array([[x, y, 80, 160]], np.float32), np.array([score], np.float32))
