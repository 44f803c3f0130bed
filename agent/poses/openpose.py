"""OpenPose networks, decoded from heatmaps and part affinity fields.

The algorithm is that of Cao, Simon, Wei and Sheikh, "Realtime Multi-Person 2D Pose Estimation using Part Affinity
Fields" (2017):

- a joint is a local maximum of its heatmap;
- a limb between two joints is worth the mean of its field along the line between them, where most of the line agrees;
- people grow from the best limb to the worst; nobody has a joint twice, and no joint belongs to two.

Where this differs: heatmaps are not enlarged. A parabola through a maximum and its neighbours finds the place inside
the cell as well as enlarging fourfold and smoothing does, at a tenth of the cost, and the fields are read between
cells. All limbs compete at once instead of one kind after the other.
"""

from typing import Final, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.inference.letterbox import Letterbox
from agent.poses.skeleton import Poses

Floats = NDArray[np.float32]
Indices = NDArray[np.intp]

JOINTS = 18
"""Nose, neck, right arm, left arm, right leg, left leg, eyes and ears, right before left."""
LIMBS: Final = (
    (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 2), (2, 3), (3, 4), (2, 16),
    (1, 5), (5, 6), (6, 7), (5, 17), (1, 0), (0, 14), (0, 15), (14, 16), (15, 17),
)  # fmt: skip
"""The joints each pair of field channels (x, y) leads from and to, in the order of the channels."""
REDUNDANT: Final = (9, 13)
"""Limbs beyond the tree, shoulder to ear: they come last, so they extend people and begin none."""
COCO: Final = (0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10)
"""Which of the eighteen joints each of COCO's seventeen is; the neck has no place there."""

PEAK_MIN = np.float32(0.1)
"""Weaker maxima of a heatmap are noise."""
SAMPLES = 10
"""Points of a limb at which its field is read."""
AGREES = np.float32(0.05)
"""A point agrees when the field along the limb is above this; the constants of the published implementation."""
AGREEING = 8
"""So many of the points must agree."""
PROBED = [2, 4, 7]
"""Points read first, one more than may disagree."""
JOINTS_MIN = 3
"""Fewer joints are a fragment, not a person."""
PEAKS_MAX = 40
"""Of one joint, the strongest: bounds the time a noisy picture takes, and OpenCV's remap takes 32767 rows at most."""
# A maximum is not below what comes later and above what came before, or a plateau of two cells would be two joints.
LATER = np.array([[0, 0, 0], [0, 1, 1], [1, 1, 1]], np.uint8)
EARLIER = np.array([[1, 1, 1], [1, 0, 0], [0, 0, 0]], np.uint8)
LIMB_BETWEEN = np.full((JOINTS, JOINTS), -1, np.int8)
for _limb, _ends in enumerate(LIMBS):
    LIMB_BETWEEN[_ends] = _limb
ALONG: Floats = np.linspace(0, 1, SAMPLES, dtype=np.float32)


class Peaks(NamedTuple):
    """Candidates for joints."""

    joint: Indices
    """(P,): which of the eighteen."""
    x: Floats
    """(P,): in cells, whole at the centre of one."""
    y: Floats
    """(P,): as x."""
    scores: Floats
    """(P,): 0..1."""


class Limbs(NamedTuple):
    """Candidates for limbs, best first, redundant kinds last."""

    kind: Indices
    """(L,): index into LIMBS."""
    first: Indices
    """(L,): the peak it leads from."""
    second: Indices
    """(L,): the peak it leads to."""


class OpenPoseDecoder:
    """Heatmaps and fields to poses. ``person_score_min`` 0..1 and ``persons_max`` bound what is reported.

    ``layout`` is that of the outputs, ``stride`` their pixels of the input per cell.
    """

    roles: tuple[str, ...] = ("heatmaps", "affinity")
    """Eighteen joints and the background, (1, H, W, 19); x and y along each limb, (1, H, W, 38); or channels second."""

    def __init__(
        self, *, layout: Literal["NHWC", "NCHW"], stride: int, person_score_min: float, persons_max: int
    ) -> None:
        self._channels_last = layout == "NHWC"
        self._stride = np.float32(stride)
        self._score_min = person_score_min
        self._persons_max = persons_max

    def decode(self, raw: tuple[Floats, ...], letterbox: Letterbox) -> Poses:
        """Poses in pixels of the original frame, best first. A person's score is the mean of all eighteen joints'."""
        heatmaps, affinity = raw[0][0], raw[1][0]
        # OpenCV finds maxima in interleaved channels, and reads all fields at once when they stand in one column.
        if self._channels_last:
            rows, columns = heatmaps.shape[:2]
            fields = affinity.reshape(rows, columns, -1, 2).transpose(2, 0, 1, 3)
        else:
            rows, columns = heatmaps.shape[1:]
            heatmaps = heatmaps.transpose(1, 2, 0)
            fields = affinity.reshape(-1, 2, rows, columns).transpose(0, 2, 3, 1)
        peaks = find_peaks(np.ascontiguousarray(heatmaps[..., :JOINTS]))
        people = assemble(peaks, find_limbs(peaks, np.ascontiguousarray(fields)))
        return self._report(peaks, people, letterbox)

    def _report(self, peaks: Peaks, people: Indices, letterbox: Letterbox) -> Poses:
        scores = np.where(people >= 0, peaks.scores.take(people, mode="clip") if len(peaks.scores) else 0, 0)
        order = (-scores.sum(axis=1)).argsort(kind="stable")[: self._persons_max]
        scores, people = scores[order].astype(np.float32), people[order]
        means = scores.mean(axis=1)
        kept = means >= self._score_min
        if not kept.any():
            return Poses.nobody()
        found, scores = people[kept][:, COCO], scores[kept][:, COCO]
        seen = (found >= 0)[..., None]
        # The centre of a cell is what a cell stands for.
        cells = np.stack((peaks.x[found], peaks.y[found]), axis=2)
        places = letterbox.to_frame((cells + np.float32(0.5)) * self._stride - np.float32(0.5))
        low = np.where(seen, places, np.float32(np.inf)).min(axis=1)
        high = np.where(seen, places, np.float32(-np.inf)).max(axis=1)
        keypoints = np.concatenate((np.where(seen, places, np.float32(0)), scores[..., None]), axis=2)
        return Poses(keypoints, np.concatenate((low, high - low), axis=1), means[kept])


def find_peaks(heatmaps: Floats) -> Peaks:
    """Local maxima of (H, W, 18), placed inside their cells by a parabola through their neighbours."""
    maximum = heatmaps >= np.maximum(cv2.dilate(heatmaps, LATER), PEAK_MIN)
    maximum &= heatmaps > cv2.dilate(heatmaps, EARLIER)
    row, column, joint = maximum.nonzero()
    scores = heatmaps[row, column, joint]
    if len(scores) > PEAKS_MAX:
        strongest = (-scores).argsort(kind="stable")
        kept = np.concatenate([strongest[joint[strongest] == each][:PEAKS_MAX] for each in range(JOINTS)])
        row, column, joint, scores = row[kept], column[kept], joint[kept], scores[kept]
    # Beyond the border the map is mirrored, so a maximum there stays where it is.
    around = cv2.copyMakeBorder(heatmaps, 1, 1, 1, 1, cv2.BORDER_REFLECT_101).astype(np.float32, copy=False)
    x = column + _vertex(around[row + 1, column, joint], scores, around[row + 1, column + 2, joint])
    y = row + _vertex(around[row, column + 1, joint], scores, around[row + 2, column + 1, joint])
    return Peaks(joint, x.astype(np.float32), y.astype(np.float32), np.minimum(scores, np.float32(1)))


def _vertex(before: Floats, middle: Floats, after: Floats) -> Floats:
    """Where the parabola through three neighbours is highest: -0.5..0.5 from the middle one, the highest of them."""
    vertex: Floats = (before - after) / np.minimum(2 * (before + after - 2 * middle), np.float32(-1e-6))
    return vertex


def find_limbs(peaks: Peaks, fields: Floats) -> Limbs:
    """Pairs of peaks that a limb can join and that (19, H, W, 2) supports."""
    kinds = LIMB_BETWEEN.take(peaks.joint, axis=0).take(peaks.joint, axis=1)
    first, second = (kinds >= 0).nonzero()
    pairs = Limbs(kinds[first, second].astype(np.intp), first, second)
    # Where this many points disagree, the others need not be read: most pairs belong to two people.
    likely = (_along(peaks, pairs, fields, ALONG[PROBED]) > AGREES).any(axis=0)
    pairs = Limbs(*(column[likely] for column in pairs))
    along = _along(peaks, pairs, fields, ALONG)
    agreed = ((along > AGREES).sum(axis=0) >= AGREEING).nonzero()[0]
    # No support reaches 4: the redundant kinds come after all others.
    rank = np.isin(pairs.kind[agreed], REDUNDANT) * 4 - along[:, agreed].mean(axis=0)
    order = agreed[rank.argsort(kind="stable")]
    return Limbs(*(column[order] for column in pairs))


def _along(peaks: Peaks, limbs: Limbs, fields: Floats, steps: Floats) -> Floats:
    """(S, L): the part of the field that points along each limb, at ``steps`` 0..1 of the way."""
    if not len(limbs.kind):
        return np.empty((len(steps), 0), np.float32)
    kinds, rows, columns = fields.shape[:3]
    x, y = peaks.x.take(limbs.first), peaks.y.take(limbs.first)
    width, height = peaks.x.take(limbs.second) - x, peaks.y.take(limbs.second) - y
    at_x = (x + width * steps[:, None]).clip(0, columns - 1)
    at_y = (y + height * steps[:, None]).clip(0, rows - 1) + (limbs.kind * rows).astype(np.float32)
    read = cv2.remap(fields.reshape(kinds * rows, columns, 2), at_x, at_y, cv2.INTER_LINEAR)
    length = np.maximum(np.sqrt(width * width + height * height), np.float32(1e-6))
    along: Floats = (read[..., 0] * width + read[..., 1] * height) / length
    return along


def assemble(peaks: Peaks, limbs: Limbs) -> Indices:
    """People, (N, 18): the peak of each joint, -1 where unseen. Limbs are taken in order while they contradict none."""
    joints = peaks.joint.tolist()
    person_of: dict[int, dict[int, int]] = {}
    for first, second in zip(limbs.first.tolist(), limbs.second.tolist(), strict=True):
        one = person_of.get(first, {joints[first]: first})
        other = person_of.get(second, {joints[second]: second})
        if one is not other and not one.keys() & other.keys():
            one.update(other)
            person_of.update(dict.fromkeys(one.values(), one))
    each = {id(person): person for person in person_of.values()}.values()
    people = np.full((len(each), JOINTS), -1, np.intp)
    for index, person in enumerate(each):
        people[index, list(person)] = list(person.values())
    whole: Indices = people[(people[:, COCO] >= 0).sum(axis=1) >= JOINTS_MIN]
    return whole
