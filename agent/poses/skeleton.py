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

    def __post_init__(self) -> None:
        people = len(self.scores)
        if self.keypoints.shape != (people, 17, 3) or self.boxes.shape != (people, 4):
            raise ValueError(
                f"wanted keypoints ({people}, 17, 3) and boxes ({people}, 4), "
                f"got {self.keypoints.shape} and {self.boxes.shape}"
            )
        if self.ids is not None and self.ids.shape != (people,):
            raise ValueError(f"wanted ids ({people},), got {self.ids.shape}")

    def __len__(self) -> int:
        return len(self.scores)

    def certain(self) -> "Poses":
        """Those who are shown and sent: all but the newcomers who are not certain yet."""
        if self.ids is None or self.ids.all():
            return self
        kept = self.ids > 0
        return Poses(self.keypoints[kept], self.boxes[kept], self.scores[kept], self.ids[kept])

    def names(self) -> list[int]:
        """The id of each; its place in the list where people are not tracked."""
        return list(range(len(self))) if self.ids is None else self.ids.tolist()

    @classmethod
    def nobody(cls) -> Self:
        """An empty frame."""
        return cls(np.zeros((0, 17, 3), np.float32), np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
