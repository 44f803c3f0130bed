"""Joints without jitter and without visible lag.

The One-Euro filter: G. Casiez, N. Roussel, D. Vogel, "1 Euro Filter: A Simple Speed-based Low-pass Filter for Noisy
Input in Interactive Systems", CHI 2012. A low-pass whose cutoff rises with speed: what stands is held still, what moves
is followed. Speed is measured in sizes of the person per second, so that it behaves the same near and far, and as one
number a joint, so that it does not depend on the direction.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.config.tree import Smoothing
from agent.poses.skeleton import JOINT_SEEN, Poses

Floats = NDArray[np.float32]

SPEED_CUTOFF_HZ: Final = 1.0
"""Cutoff of the low-pass on the speed itself, as in the paper."""
POINTS: Final = 25
TURN: Final = np.float32(2 * np.pi)


@dataclass(frozen=True, slots=True)
class _State:
    """What is remembered of the people of the last frame: 17 joints, 2 corners of the box and 6 points of the feet."""

    ids: NDArray[np.int32]
    points: Floats
    """(N, 25, 2): filtered, pixels."""
    speeds: Floats
    """(N, 25, 2): filtered, pixels per second."""
    seen: NDArray[np.bool_]
    """(N, 25)"""
    at_s: float


class Smoother:
    """Filters joints and boxes of tracked people. Remembers the last frame's people and nobody else."""

    def __init__(self, settings: Smoothing) -> None:
        self.configure(settings)
        nobody = np.zeros((0, POINTS, 2), np.float32)
        self._last = _State(np.zeros(0, np.int32), nobody, nobody, np.zeros((0, POINTS), np.bool_), 0.0)

    def configure(self, settings: Smoothing) -> None:
        """Take other settings."""
        self._cutoff_hz = np.float32(settings.cutoff_hz)
        self._speed_gain = np.float32(settings.speed_gain)

    def update(self, poses: Poses, at_s: float) -> Poses:
        """The same people, smoothed, of the frame taken at ``at_s`` seconds. Raises ValueError for poses without ids.

        A joint that was not seen in the frame before starts anew, and one that is not seen now stays as it is.
        """
        if poses.ids is None:
            raise ValueError("only tracked poses can be smoothed: they have no ids")
        points, seen = _points(poses)
        state = _State(poses.ids, points, np.zeros_like(points), seen, at_s)
        same = (poses.ids[:, None] == self._last.ids) & (self._last.ids > 0)
        now, before = np.nonzero(same)
        if len(now) and at_s > self._last.at_s:
            self._filter(state, now, before, _sizes(poses)[now])
        self._last = state
        return _posed(poses, state)

    def _filter(self, state: _State, now: NDArray[np.intp], before: NDArray[np.intp], sizes: Floats) -> None:
        """Filter the points of the people ``now`` who were there ``before``, in place."""
        last, elapsed_s = self._last, np.float32(state.at_s - self._last.at_s)
        both = (state.seen[now] & last.seen[before])[..., None]
        found, old_points, old_speeds = state.points[now], last.points[before], last.speeds[before]
        speeds = old_speeds + _weight(np.float32(SPEED_CUTOFF_HZ), elapsed_s) * (
            (found - old_points) / elapsed_s - old_speeds
        )
        per_size = np.sqrt((speeds * speeds).sum(axis=2, keepdims=True)) / sizes[:, None, None]
        weight = _weight(self._cutoff_hz + self._speed_gain * per_size, elapsed_s)
        state.points[now] = np.where(both, old_points + weight * (found - old_points), found)
        state.speeds[now] = np.where(both, speeds, 0)


def _weight(cutoff_hz: Floats | np.float32, elapsed_s: np.float32) -> Floats | np.float32:
    """Of the new value in the first-order low-pass: 1 / (1 + tau / T), tau = 1 / (2 pi cutoff)."""
    angle = TURN * cutoff_hz * elapsed_s
    return angle / (angle + np.float32(1))


def _points(poses: Poses) -> tuple[Floats, NDArray[np.bool_]]:
    """(N, 25, 2) points and which are seen, (N, 25); of feet that nobody looks for, none."""
    points = np.zeros((len(poses), POINTS, 2), np.float32)
    points[:, :17] = poses.keypoints[..., :2]
    points[:, 17] = poses.boxes[:, :2]
    points[:, 18] = poses.boxes[:, :2] + poses.boxes[:, 2:]
    seen = np.ones(points.shape[:2], np.bool_)
    seen[:, :17] = poses.keypoints[..., 2] >= JOINT_SEEN
    seen[:, 19:] = False
    if poses.feet is not None:
        points[:, 19:] = poses.feet[..., :2]
        seen[:, 19:] = poses.feet[..., 2] >= JOINT_SEEN
    return points, seen


def _sizes(poses: Poses) -> Floats:
    """(N,): square root of the box, pixels, at least one."""
    sizes: Floats = np.sqrt(np.maximum(poses.boxes[:, 2] * poses.boxes[:, 3], 1))
    return sizes


def _posed(poses: Poses, state: _State) -> Poses:
    keypoints = poses.keypoints.copy()
    keypoints[..., :2] = state.points[:, :17]
    boxes = np.concatenate((state.points[:, 17], state.points[:, 18] - state.points[:, 17]), axis=1)
    if poses.feet is None:
        return replace(poses, keypoints=keypoints, boxes=boxes)
    feet = poses.feet.copy()
    feet[..., :2] = state.points[:, 19:]
    return replace(poses, keypoints=keypoints, boxes=boxes, feet=feet)
