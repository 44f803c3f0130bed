"""RTMO, as MMDeploy exports it: the graph selects the people itself.

The export is that of MMDeploy's ``configs/mmpose/pose-detection_rtmo_onnxruntime_dynamic.py``, the ``end2end.onnx`` of
MMPose's model zoo that rtmlib runs too. Its rewritten head (``mmdeploy/codebase/mmpose/models/heads/rtmo_head.py``)
ends in non-maximum suppression and two outputs, both with one row per person, as many as were found:

- ``dets`` (1, N, 5): x1, y1, x2, y2 in pixels of the input and a score 0..1;
- ``keypoints`` (1, N, 17, 3): x, y in pixels of the input and a visibility 0..1.

The overlap it suppresses (0.65) and its lowest score (0.1) are the trained configuration's ``test_cfg``, fixed in the
graph. One row can be padding, which repeats a guess of next to no score: the threshold removes it.
"""

import numpy as np
from numpy.typing import NDArray

from agent.inference.letterbox import Letterbox
from agent.poses.skeleton import Poses

Floats = NDArray[np.float32]


class RtmoDecoder:
    """People to poses. ``person_score_min`` 0..1 and ``persons_max`` bound what is reported."""

    roles: tuple[str, ...] = ("dets", "keypoints")

    def __init__(self, *, person_score_min: float, persons_max: int) -> None:
        self._score_min = person_score_min
        self._persons_max = persons_max

    def decode(self, raw: tuple[Floats, ...], letterbox: Letterbox) -> Poses:
        """Poses in pixels of the original frame, best first."""
        dets, keypoints = raw[0][0], raw[1][0]
        best = (-dets[:, 4]).argsort(kind="stable")[: self._persons_max]
        best = best[dets[best, 4] >= self._score_min]
        dets, keypoints = dets[best], keypoints[best]

        keypoints[..., :2] = letterbox.to_frame(keypoints[..., :2])
        keypoints[..., 2].clip(0, 1, out=keypoints[..., 2])  # a quantised sigmoid can round past its end
        boxes = letterbox.to_frame(dets[:, :4].reshape(-1, 2, 2)).reshape(-1, 4)
        boxes[:, 2:] -= boxes[:, :2]
        return Poses(keypoints, boxes, dets[:, 4].clip(0, 1))
