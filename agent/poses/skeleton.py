"""The COCO skeleton: seventeen joints and the limbs between them."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

JOINTS: Final = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
"""COCO-17, in order."""

LIMBS: Final = (
    (0, 1), (0, 2), (1, 3), (2, 4), (5, 6), (5, 7), (7, 9), (6, 8), (8, 10),
    (5, 11), (6, 12), (11, 12), (11, 13), (13, 15), (12, 14), (14, 16),
)  # fmt: skip
"""Pairs of joints that a drawing joins."""

FEET: Final = (
    "left_big_toe",
    "right_big_toe",
    "left_small_toe",
    "right_small_toe",
    "left_heel",
    "right_heel",
)
"""Points of the feet, in order, where a network finds them."""

FOOT_LIMBS: Final = ((15, 21), (21, 17), (17, 19), (16, 22), (22, 18), (18, 20))
"""Pairs that a drawing joins, of the joints with the feet behind them: ankle, heel, big toe, small toe."""

JOINT_SEEN: Final = np.float32(0.1)
"""Joints scored lower are guesses: who follows people takes them for unseen."""


@dataclass(frozen=True, slots=True)
class Poses:
    """Everybody in one frame, best first. Nobody in view is an instance of length 0."""

    keypoints: NDArray[np.float32]
    """float32 (N, 17, 3): x and y in pixels of the original frame, score 0..1. An unseen joint is 0, 0, 0."""
    boxes: NDArray[np.float32]
    """float32 (N, 4): x, y, width, height in pixels of the original frame."""
    scores: NDArray[np.float32]
    """float32 (N,): confidence in the person, 0..1."""
    ids: NDArray[np.int32] | None = None
    """int32 (N,): 1 and up, the same for a person from frame to frame; 0 for a newcomer who is not certain yet. None
    where people are not tracked."""
    feet: NDArray[np.float32] | None = None
    """float32 (N, 6, 3): of the feet, as ``keypoints``. None where the network does not look for them."""

    def __post_init__(self) -> None:
        people = len(self.scores)
        if self.keypoints.shape != (people, 17, 3) or self.boxes.shape != (people, 4):
            raise ValueError(
                f"wanted keypoints ({people}, 17, 3) and boxes ({people}, 4), "
                f"got {self.keypoints.shape} and {self.boxes.shape}"
            )
        if self.ids is not None and self.ids.shape != (people,):
            raise ValueError(f"wanted ids ({people},), got {self.ids.shape}")
        if self.feet is not None and self.feet.shape != (people, 6, 3):
            raise ValueError(f"wanted feet ({people}, 6, 3), got {self.feet.shape}")

    def __len__(self) -> int:
        return len(self.scores)

    def certain(self) -> "Poses":
        """Those who are shown and sent: all but the newcomers who are not certain yet."""
        if self.ids is None or self.ids.all():
            return self
        return self.only(self.ids > 0)

    def only(self, kept: NDArray[np.bool_] | NDArray[np.intp]) -> "Poses":
        """Some of them: those that are true of (N,), or the places named, in that order."""
        ids = None if self.ids is None else self.ids[kept]
        feet = None if self.feet is None else self.feet[kept]
        return Poses(self.keypoints[kept], self.boxes[kept], self.scores[kept], ids, feet)

    def within(self, width: int, height: int) -> "Poses":
        """The same people, with boxes and joints inside a picture of so many pixels."""
        if not len(self):
            return self
        size = np.array((width, height), np.float32)
        feet = None if self.feet is None else _inside(self.feet, size)
        return Poses(_inside(self.keypoints, size), _clipped(self.boxes, size), self.scores, self.ids, feet)

    def names(self) -> list[int]:
        """The id of each; its place in the list where people are not tracked."""
        return list(range(len(self))) if self.ids is None else self.ids.tolist()

    @classmethod
    def nobody(cls) -> Self:
        """An empty frame."""
        return cls(np.zeros((0, 17, 3), np.float32), np.zeros((0, 4), np.float32), np.zeros(0, np.float32))


def _inside(joints: NDArray[np.float32], size: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, J, 3) joints, moved to the nearest pixel of the picture."""
    moved = joints.copy()
    places = moved[..., :2]
    np.maximum(places, 0, out=places)
    np.minimum(places, size - 1, out=places)
    return moved


def _clipped(boxes: NDArray[np.float32], size: NDArray[np.float32]) -> NDArray[np.float32]:
    clipped = boxes.copy()
    clipped[:, 2:] += clipped[:, :2]
    corners = clipped.reshape(-1, 2, 2)
    np.maximum(corners, 0, out=corners)
    np.minimum(corners, size, out=corners)
    clipped[:, 2:] -= clipped[:, :2]
    return clipped
