"""RTMO, as MMDeploy exports it, with or without the selection of people in the graph.

The export is that of MMDeploy's ``configs/mmpose/pose-detection_rtmo_onnxruntime_dynamic.py``, the ``end2end.onnx`` of
MMPose's model zoo that rtmlib runs too. Its rewritten head (``mmdeploy/codebase/mmpose/models/heads/rtmo_head.py``)
ends in non-maximum suppression and two outputs, both with one row per person, as many as were found:

- ``dets`` (1, N, 5): x1, y1, x2, y2 in pixels of the input and a score 0..1;
- ``keypoints`` (1, N, 17, 3): x, y in pixels of the input and a visibility 0..1.

Where the card has the suppression taken out, N is a fixed number of the likeliest guesses, several of each person, and
greedy non-maximum suppression is done here; of rows that the graph has chosen already it takes none away. One row can
be padding, which repeats a guess of next to no score: the threshold removes it.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.inference.letterbox import Letterbox
from agent.poses.skeleton import Poses

Floats = NDArray[np.float32]


class RtmoDecoder:
    """People to poses. ``person_score_min`` 0..1 and ``persons_max`` bound what is reported.

    Boxes whose intersection over union is above ``nms_iou`` are one person.
    """

    roles: tuple[str, ...] = ("dets", "keypoints")

    def __init__(self, *, person_score_min: float, persons_max: int, nms_iou: float) -> None:
        self._score_min = person_score_min
        self._persons_max = persons_max
        self._nms_iou = nms_iou

    def decode(self, raw: tuple[Floats, ...], letterbox: Letterbox) -> Poses:
        """Poses in pixels of the original frame, best first."""
        dets, keypoints = raw[0][0], raw[1][0]
        likely = dets[:, 4] >= self._score_min
        if not likely.any():
            return Poses.nobody()
        dets, keypoints = dets[likely], keypoints[likely]
        sides: Any = np.concatenate((dets[:, :2], dets[:, 2:4] - dets[:, :2]), axis=1)
        kept = cv2.dnn.NMSBoxes(sides, dets[:, 4], 0, self._nms_iou)
        best = np.asarray(kept, np.intp)[: self._persons_max]
        dets, keypoints = dets[best], keypoints[best]

        keypoints[..., :2] = letterbox.to_frame(keypoints[..., :2])
        keypoints[..., 2].clip(0, 1, out=keypoints[..., 2])  # a quantised sigmoid can round past its end
        boxes = letterbox.to_frame(dets[:, :4].reshape(-1, 2, 2)).reshape(-1, 4)
        boxes[:, 2:] -= boxes[:, :2]
        return Poses(keypoints, boxes, dets[:, 4].clip(0, 1))
