"""Promises of the MoveNet decoder."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.inference.letterbox import Letterbox
from agent.poses.movenet import STRIDE, MoveNetDecoder
from agent.tracking.assignment import assign
from tests.poses.movenet_heads import center_cells, draw_heads

SIZE = 256
IDENTITY = Letterbox.fit((0, 0, SIZE, SIZE), (SIZE, SIZE))
DECODER = MoveNetDecoder(person_score_min=0.2, persons_max=20)


def apart(people: NDArray[np.float32], cells: int) -> bool:
    """Whether all centres are more than the 5x5 neighbourhood of a peak apart."""
    centers = center_cells(people)
    distance = np.abs(centers[:, None] - centers[None]).max(axis=-1)
    return bool((distance + np.eye(len(people)) * 99 > cells).all())


def crowded(people: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(N, 17): joints within two cells of the same joint of somebody before them, one peak to any decoder."""
    cells = np.floor(people / STRIDE)
    near = np.abs(cells[:, None] - cells[None]).max(axis=-1) <= 2
    before = np.tri(len(people), k=-1, dtype=bool)
    return np.asarray((near & before[..., None]).any(axis=1))


@st.composite
def crowds(draw: st.DrawFn) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """1-12 random skeletons, overlapping and at the borders, with missing joints."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    wanted = draw(st.integers(1, 12))
    people: list[NDArray[np.float32]] = []
    while len(people) < wanted:
        size = random.uniform(12, 120, 2)
        corner = random.uniform(0, SIZE - size)
        person = (corner + random.random((17, 2)) * size).astype(np.float32)
        if apart(np.stack([*people, person]), 2):
            people.append(person)
    seen = random.random((wanted, 17)) < draw(st.floats(0.5, 1.0))
    seen &= ~crowded(np.stack(people))
    assume(seen.any(axis=1).all())  # a person of whom nothing is seen cannot be found
    return np.stack(people), seen


@given(crowds())
def test_every_drawn_skeleton_is_decoded_within_one_cell(crowd: tuple[NDArray[np.float32], NDArray[np.bool_]]) -> None:
    """Up to twelve people, overlapping, cut by borders and with missing joints, come back within one cell."""
    people, seen = crowd
    poses = DECODER.decode(draw_heads(people, seen, SIZE, SIZE), IDENTITY)

    assert len(poses) == len(people)
    distance = np.abs(poses.keypoints[:, None, :, :2] - people[None]).max(axis=-1)  # decoded, drawn, joint
    distance = np.where(poses.keypoints[:, None, :, 2] > 0.5, distance, SIZE)  # else it was not found
    missed = np.where(seen[None], distance, 0).max(axis=-1)
    # The best pairing, not the nearest of each: what is seen of one may be where hidden joints of another are.
    drawn, found = assign(2 * STRIDE - missed.T)
    assert len(drawn) == len(people), "two drawn people decode to one"
    assert missed[found, drawn].max() <= STRIDE


def test_nobody_in_view_is_an_empty_result() -> None:
    """Heads without a peak give no person, not an error."""
    heads = draw_heads(np.zeros((0, 17, 2), np.float32), np.zeros((0, 17), bool), SIZE, SIZE)
    assert len(DECODER.decode(heads, IDENTITY)) == 0


def test_persons_max_keeps_the_best() -> None:
    """With more people than persons_max the lowest scores go."""
    grid = np.stack(np.meshgrid(np.arange(4), np.arange(4)), -1).reshape(-1, 1, 2) * 60.0
    people = (grid + np.linspace(4, 40, 17)[None, :, None]).astype(np.float32)
    heads = draw_heads(people, np.ones((16, 17), bool), SIZE, SIZE)
    rows, columns = center_cells(people).T
    heads.center[0, rows, columns, 0] = np.linspace(0, 3, 16)

    poses = MoveNetDecoder(person_score_min=0.2, persons_max=5).decode(heads, IDENTITY)

    assert len(poses) == 5
    assert (np.diff(poses.scores) <= 0).all()
    best_five = {tuple(person) for person in people[-5:, 0].round(1).tolist()}
    assert {tuple(person) for person in poses.keypoints[:, 0, :2].round(1).tolist()} == best_five


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.6, 1.0])
def test_nobody_below_the_threshold_is_reported(threshold: float) -> None:
    """person_score_min is a lower bound of every reported score."""
    random = np.random.default_rng(5)
    people = (np.array([[20, 20], [120, 40], [60, 160]])[:, None] + random.random((3, 17, 2)) * 60).astype(np.float32)
    heads = draw_heads(people, np.ones((3, 17), bool), SIZE, SIZE)
    poses = MoveNetDecoder(person_score_min=threshold, persons_max=20).decode(heads, IDENTITY)
    assert (poses.scores >= threshold).all()
    assert len(poses) == (3 if threshold <= 0.6 else 0)
