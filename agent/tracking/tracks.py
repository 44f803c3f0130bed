"""What is known of the people who are followed."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

VELOCITY_SETTLES_S: Final = np.float32(0.5)
"""Time constant of the velocity's average: about a step, so that the swing of a stride is not taken for a turn."""
VELOCITY_FADES_S: Final = np.float32(2.0)
"""Time constant by which an unseen person is taken to slow down: who is hidden for long has often stopped there."""


@dataclass(slots=True)
class Tracks:
    """People, one a row."""

    ids: NDArray[np.int32]
    """(T,): 0 until the person is certain."""
    joints: Floats
    """(T, 17, 3): x, y where they are expected, and score; one that is not found goes along with the others."""
    areas: Floats
    """(T,): square pixels of the box when last found."""
    velocities: Floats
    """(T, 2): of the whole person, pixels per second."""
    sightings: NDArray[np.int32]
    """(T,): frames the person was found in."""
    unseen_s: Floats
    """(T,): seconds since the person was last found."""

    @classmethod
    def born(cls, joints: Floats, areas: Floats) -> Self:
        """People found for the first time: (N, 17, 3) joints, a score of 0 for the unseen, and (N,) areas."""
        count = len(areas)
        ids, sightings = np.zeros(count, np.int32), np.ones(count, np.int32)
        return cls(ids, joints, areas, np.zeros((count, 2), np.float32), sightings, np.zeros(count, np.float32))

    @classmethod
    def none(cls) -> Self:
        """Nobody."""
        return cls.born(np.zeros((0, 17, 3), np.float32), np.zeros(0, np.float32))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: NDArray[np.bool_]) -> "Tracks":
        return Tracks(
            self.ids[rows],
            self.joints[rows],
            self.areas[rows],
            self.velocities[rows],
            self.sightings[rows],
            self.unseen_s[rows],
        )

    def joined(self, other: "Tracks") -> "Tracks":
        """These people and then the others."""
        return Tracks(
            np.concatenate((self.ids, other.ids)),
            np.concatenate((self.joints, other.joints)),
            np.concatenate((self.areas, other.areas)),
            np.concatenate((self.velocities, other.velocities)),
            np.concatenate((self.sightings, other.sightings)),
            np.concatenate((self.unseen_s, other.unseen_s)),
        )

    def predict(self, elapsed_s: float) -> None:
        """Move everybody on at constant velocity."""
        elapsed = np.float32(elapsed_s)
        self.velocities *= np.where(self.unseen_s > 0, np.exp(-elapsed / VELOCITY_FADES_S), np.float32(1))[:, None]
        self.joints[..., :2] += self.velocities[:, None] * elapsed
        self.unseen_s += elapsed

    def correct(self, rows: NDArray[np.intp], joints: Floats, areas: Floats) -> None:
        """Take in what was found of these rows: (N, 17, 3) joints and (N,) areas."""
        expected = self.joints[rows]
        found = joints[..., 2:] > 0
        both = found & (expected[..., 2:] > 0)
        apart = (joints[..., :2] - expected[..., :2]) * both
        surprise = apart.sum(axis=1) / np.maximum(both.sum(axis=1, dtype=np.float32), 1)
        since_s = np.maximum(self.unseen_s[rows], np.float32(1e-3))
        share = -np.expm1(-since_s / VELOCITY_SETTLES_S) / since_s
        self.velocities[rows] += surprise * share[:, None]
        expected[..., :2] += surprise[:, None]
        self.joints[rows] = np.where(found, joints, expected)
        self.areas[rows] = areas
        self.sightings[rows] += 1
        self.unseen_s[rows] = 0
