"""YOLO-pose, as Ultralytics exports it for one class, a person of seventeen joints (YOLOv8, YOLO11, YOLO26).

The graph ends in one output (1, 56, N): N guesses, one per anchor, each 4 + 1 + 17 x 3 numbers. Centre x and y, width
and height of the box and x and y of the joints are pixels of the input; the score and the joints' visibility are
already 0..1 (the layout: Ultralytics' class Pose, ``ultralytics/nn/modules/head.py``). Many guesses are of the same
person: greedy non-maximum suppression keeps the best of those whose boxes overlap, as Ultralytics' own does.

An end-to-end export (YOLO26 with ``nms=False``) has chosen its people itself and has another output, (1, N, 57): N
rows, best first, each x1, y1, x2, y2, a score, a class, and the joints as above.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.inference.letterbox import Letterbox
from agent.poses.skeleton import Poses

Floats = NDArray[np.float32]

SCORE_ROW = 4
JOINTS_FROM = 5
CHOSEN = 57
"""Numbers of a person in an end-to-end export: the class stands between score and joints."""
CHOSEN_JOINTS_FROM = 6
CANDIDATES = 512
"""So many of the best guesses are compared with each other; a person is guessed by about ten anchors."""


class YoloDecoder:
    """Guesses to poses. ``person_score_min`` 0..1 and ``persons_max`` bound what is reported.

    Boxes whose intersection over union is above ``nms_iou`` are one person.
    """

    roles: tuple[str, ...] = ("guesses",)

    def __init__(self, *, person_score_min: float, persons_max: int, nms_iou: float) -> None:
        self._score_min = person_score_min
        self._persons_max = persons_max
        self._nms_iou = nms_iou

    def decode(self, raw: tuple[Floats, ...], letterbox: Letterbox) -> Poses:
        """Poses in pixels of the original frame, best first."""
        if raw[0].shape[-1] == CHOSEN and raw[0].shape[1] != JOINTS_FROM + 51:
            return self._chosen(raw[0][0], letterbox)
        guesses = raw[0][0]
        likely = np.flatnonzero(guesses[SCORE_ROW] >= self._score_min)
        if not len(likely):
            return Poses.nobody()
        people = guesses[:, likely].T
        people[:, :2] -= people[:, 2:SCORE_ROW] / 2  # centre to corner
        # OpenCV's takes 0.05 ms for 80 guesses; a matrix of all pairs in numpy took four times as long.
        kept = cv2.dnn.NMSBoxes(people[:, :SCORE_ROW], people[:, SCORE_ROW], 0, self._nms_iou, top_k=CANDIDATES)
        people = people[np.asarray(kept, np.intp)[: self._persons_max]]

        keypoints = people[:, JOINTS_FROM:].reshape(-1, 17, 3)
        keypoints[..., :2] = letterbox.corner_to_frame(keypoints[..., :2])
        keypoints[..., 2].clip(0, 1, out=keypoints[..., 2])  # a quantised sigmoid can round past its end
        corner = letterbox.corner_to_frame(people[:, :2])
        boxes = np.concatenate((corner, people[:, 2:SCORE_ROW] / letterbox.scale), axis=1)
        return Poses(keypoints, boxes, people[:, SCORE_ROW].clip(0, 1))

    def _chosen(self, rows: Floats, letterbox: Letterbox) -> Poses:
        """People of (N, 57) rows: the network has left one for each, and nobody's rows score next to nothing."""
        best = (-rows[:, SCORE_ROW]).argsort(kind="stable")[: self._persons_max]
        people = rows[best[rows[best, SCORE_ROW] >= self._score_min]]
        keypoints = people[:, CHOSEN_JOINTS_FROM:].reshape(-1, 17, 3).copy()
        keypoints[..., :2] = letterbox.corner_to_frame(keypoints[..., :2])
        keypoints[..., 2].clip(0, 1, out=keypoints[..., 2])
        corners = letterbox.corner_to_frame(people[:, :SCORE_ROW].reshape(-1, 2, 2)).reshape(-1, 4)
        boxes = np.concatenate((corners[:, :2], corners[:, 2:] - corners[:, :2]), axis=1)
        return Poses(keypoints, boxes, people[:, SCORE_ROW].clip(0, 1))
