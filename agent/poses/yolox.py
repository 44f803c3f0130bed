"""YOLOX, cut where its convolutions end: people in a picture, without joints.

Three outputs with a row for each anchor, those of strides 8, 16 and 32 one after the other, each stride row by row:

- ``boxes`` (1, A, 4): centre x and y from the anchor and the logarithms of width and height, in strides;
- ``classes`` (1, A, C): 0..1, the first class is a person;
- ``objectness`` (1, A): 0..1.

What the exported graph does behind that (MMDetection's ``YOLOXBBoxCoder``; greedy non-maximum suppression) is done here
for the few anchors that are likely: it knows any size of the input, and no device meets rows without a number.
"""

from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.inference.letterbox import Letterbox

Floats = NDArray[np.float32]

STRIDES: Final = (8, 16, 32)
CANDIDATES: Final = 512
"""So many of the best anchors are compared with each other."""


class Detections(NamedTuple):
    """People found, best first."""

    boxes: Floats
    """(N, 4): x, y, width, height in pixels of the original frame."""
    scores: Floats
    """(N,): 0..1."""


class YoloxDetector:
    """Outputs to boxes, of inputs of ``size`` (height, width). ``score_min`` 0..1 bounds what is reported.

    Boxes whose intersection over union is above ``nms_iou`` are one person.
    """

    roles: tuple[str, ...] = ("boxes", "classes", "objectness")

    def __init__(self, *, size: tuple[int, int], score_min: float, nms_iou: float) -> None:
        self._score_min = score_min
        self._nms_iou = nms_iou
        self._strides, self._places = _anchors(size)

    def decode(self, raw: tuple[Floats, ...], letterbox: Letterbox) -> Detections:
        """People in pixels of the original frame, best first. Raises ValueError for outputs of another size."""
        boxes, classes, objectness = raw[0][0], raw[1][0], raw[2].reshape(-1)
        if len(objectness) != len(self._strides):
            raise ValueError(f"{len(self._strides)} anchors expected, {len(objectness)} found")
        scores = classes[:, 0] * objectness
        likely = np.flatnonzero(scores >= self._score_min)
        if not len(likely):
            return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
        scores, strides, found = scores[likely], self._strides[likely, None], boxes[likely]
        sides = np.exp(found[:, 2:]) * strides
        corners = found[:, :2] * strides + self._places[likely] - sides * np.float32(0.5)
        people: Any = np.concatenate((corners, sides), axis=1)
        kept = cv2.dnn.NMSBoxes(people, scores, 0, self._nms_iou, top_k=CANDIDATES)
        chosen = np.asarray(kept, np.intp)
        place = letterbox.to_frame(corners[chosen])
        return Detections(
            np.concatenate((place, sides[chosen] / letterbox.scale), axis=1), np.minimum(scores[chosen], 1)
        )


def _anchors(size: tuple[int, int]) -> tuple[Floats, Floats]:
    """The stride of each anchor, (A,), and its x and y in pixels of the input, (A, 2)."""
    strides, places = [], []
    for stride in STRIDES:
        rows, columns = size[0] // stride, size[1] // stride
        y, x = np.divmod(np.arange(rows * columns), columns)
        places.append(np.stack((x, y), axis=1) * stride)
        strides.append(np.full(rows * columns, stride))
    return np.concatenate(strides).astype(np.float32), np.concatenate(places).astype(np.float32)
