"""Promises of the YOLOX detector."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.inference.letterbox import Letterbox
from agent.poses.yolox import STRIDES, YoloxDetector
from tests.poses.crowds import INPUT, LETTERBOX, corners_of, crowds, scores_for

Floats = NDArray[np.float32]


def outputs(boxes: Floats, scores: Floats, size: tuple[int, int] = INPUT) -> tuple[Floats, Floats, Floats]:
    """What the network says of (N, 4) boxes x1, y1, x2, y2, each told by one anchor near its middle.

    Raises IndexError when two would need the same anchor.
    """
    counts = [(size[0] // stride) * (size[1] // stride) for stride in STRIDES]
    guesses = np.zeros((1, sum(counts), 4), np.float32)
    classes = np.zeros((1, sum(counts), 3), np.float32)
    classes[..., 1] = 0.99  # something else is everywhere
    objectness = np.ones((1, sum(counts)), np.float32)
    taken = set()
    for number, ((x1, y1, x2, y2), score) in enumerate(zip(boxes.tolist(), scores.tolist(), strict=True)):
        level = number % len(STRIDES)
        stride, columns = STRIDES[level], size[1] // STRIDES[level]
        row = min(max(int((y1 + y2) / 2 / stride), 0), size[0] // stride - 1)
        column = min(max(int((x1 + x2) / 2 / stride), 0), columns - 1)
        anchor = sum(counts[:level]) + row * columns + column
        if anchor in taken:
            raise IndexError(anchor)
        taken.add(anchor)
        middle = ((x1 + x2) / 2 / stride - column, (y1 + y2) / 2 / stride - row)
        guesses[0, anchor] = *middle, np.log((x2 - x1) / stride), np.log((y2 - y1) / stride)
        classes[0, anchor, 0], objectness[0, anchor] = 0.98, score / 0.98
    return guesses, classes, objectness


@given(crowds(), st.sampled_from([0.0, 0.25]))
def test_every_box_comes_back(people: Floats, score_min: float) -> None:
    """Boxes of any size, told at any stride, come back in pixels of the frame, best first, whatever else is there."""
    boxes, scores = corners_of(people), scores_for(people)
    assume((boxes[:, 2:] - boxes[:, :2]).min() > 1)
    try:
        raw = outputs(boxes, scores)
    except IndexError:
        assume(condition=False)
    found = YoloxDetector(size=INPUT, score_min=max(score_min, 0.01), nms_iou=1.0).decode(raw, LETTERBOX)
    order = np.argsort(-scores)
    np.testing.assert_allclose(found.scores, scores[order], rtol=1e-5)
    corners = LETTERBOX.to_input(found.boxes[:, :2])
    opposite = LETTERBOX.to_input(found.boxes[:, :2] + found.boxes[:, 2:])
    np.testing.assert_allclose(np.concatenate((corners, opposite), axis=1), boxes[order], atol=0.2)


@given(st.integers(0, 8), st.integers(0, 8))
def test_one_person_is_found_once(dx: int, dy: int) -> None:
    """Of two guesses whose boxes overlap the better one stays."""
    boxes = np.array([[100, 100, 180, 300], [100 + dx, 100 + dy, 180 + dx, 300 + dy]], np.float32)
    raw = outputs(boxes, np.array([0.6, 0.9], np.float32))
    found = YoloxDetector(size=INPUT, score_min=0.2, nms_iou=0.45).decode(raw, Letterbox.fit((0, 0, 640, 480), INPUT))
    np.testing.assert_allclose(found.boxes, [[100 + dx, 100 + dy, 80, 200]], atol=0.1)
    np.testing.assert_allclose(found.scores, [0.9], rtol=1e-5)


def test_nobody_and_another_size() -> None:
    """Without anybody there are no boxes; outputs of another input size are an error, not boxes elsewhere."""
    detector = YoloxDetector(size=INPUT, score_min=0.2, nms_iou=0.45)
    nobody = outputs(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    assert detector.decode(nobody, LETTERBOX).boxes.shape == (0, 4)
    with pytest.raises(ValueError, match="anchors expected"):
        detector.decode(outputs(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), (256, 256)), LETTERBOX)
