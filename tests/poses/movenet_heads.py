"""Draws the heads MoveNet would give for known people: the oracle of the decoder's tests and benchmark."""

import numpy as np
from numpy.typing import NDArray

from agent.poses.movenet import STRIDE, Heads

Floats = NDArray[np.float32]

ABSENT = -9.0
PRESENT = 3.0


def draw_heads(people: Floats, seen: NDArray[np.bool_], height: int, width: int) -> Heads:
    """Heads for ``people``, (N, 17, 2) x and y in pixels of an input of height x width; ``seen`` is (N, 17).

    A joint that is not seen leaves no trace in the heatmap, but the person's centre still guesses it.
    """
    rows, columns = height // STRIDE, width // STRIDE
    heads = Heads(
        center=np.full((1, rows, columns, 1), ABSENT, np.float32),
        keypoint_regress=np.zeros((1, rows, columns, 34), np.float32),
        keypoint_heatmap=np.full((1, rows, columns, 17), ABSENT, np.float32),
        keypoint_offset=np.zeros((1, rows, columns, 34), np.float32),
        box_scale=np.zeros((1, rows, columns, 2), np.float32),
        box_offset=np.zeros((1, rows, columns, 2), np.float32),
    )
    for joints, visible in zip(people / STRIDE, seen, strict=True):
        _draw_person(heads, joints[:, ::-1], visible)
    return heads


def center_cells(people: Floats) -> NDArray[np.intp]:
    """(N, 2): row and column of the cell each person is centred on."""
    middle = (people.min(axis=1) + people.max(axis=1)) / 2
    return np.asarray(np.floor(middle[:, ::-1] / STRIDE), np.intp)


def _draw_person(heads: Heads, joints: Floats, visible: NDArray[np.bool_]) -> None:
    top_left, bottom_right = joints.min(axis=0), joints.max(axis=0)
    middle = (top_left + bottom_right) / 2
    row, column = np.floor(middle).astype(int)
    heads.center[0, row, column, 0] = PRESENT
    # One cell of margin on each side: the box holds the cells of all joints.
    heads.box_scale[0, row, column] = bottom_right - top_left + 2
    heads.box_offset[0, row, column] = middle - (row, column)
    heads.keypoint_regress[0, row, column] = (joints - (row, column)).ravel()
    for joint in np.flatnonzero(visible):
        y, x = np.floor(joints[joint]).astype(int)
        heads.keypoint_heatmap[0, y, x, joint] = PRESENT
        heads.keypoint_offset[0, y, x, 2 * joint : 2 * joint + 2] = joints[joint] - (y, x)
