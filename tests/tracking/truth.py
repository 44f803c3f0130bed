"""Who is really in a clip, and what became of the ids they were given."""

import itertools
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.poses.skeleton import Poses
from agent.tracking.assignment import assign

Floats = NDArray[np.float64]

NEAR = 0.35
"""A person found this close to a true one, in heights, can be that one."""
CLOSE = 0.5
"""Two people this close, in heights, are crossing."""
SETTLED = 5
"""Frames that make an id a person's."""
AROUND = 20
"""Frames before and after a crossing in which an id must have been given to count there."""


@dataclass(frozen=True, slots=True)
class Person:
    """One true person."""

    name: str
    look: str
    first: int
    last: int
    path: Floats
    """(K, 4): frame, x, y and height in pixels."""

    def at(self, frames: NDArray[np.int_]) -> Floats:
        """(F, 3): x, y and height; NaN before the first and after the last entry of the path."""
        columns = [np.interp(frames, self.path[:, 0], column, left=np.nan, right=np.nan) for column in self.path.T[1:]]
        return np.stack(columns, axis=1)


@dataclass(frozen=True, slots=True)
class Crossing:
    """Two people who come close to each other, and the ids each had before and has after."""

    people: tuple[str, str]
    first: int
    last: int
    before: tuple[int | None, int | None]
    after: tuple[int | None, int | None]

    @property
    def swapped(self) -> bool:
        """Whether one of the two goes on under the other's id."""
        return any(
            before is not None and before == after
            for before, after in zip(self.before, reversed(self.after), strict=True)
        )


@dataclass(frozen=True, slots=True)
class Stretch:
    """Frames in which a person stands still, or walks on."""

    name: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Truth:
    """What is true of a clip."""

    people: tuple[Person, ...]
    standing: tuple[Stretch, ...]
    moving: tuple[Stretch, ...]


def load(path: Path) -> Truth:
    """Read a table of true people."""
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    return Truth(
        people=tuple(Person(**{**row, "path": np.array(row["path"], np.float64)}) for row in tables["person"]),
        standing=tuple(Stretch(**row) for row in tables["standing"]),
        moving=tuple(Stretch(**row) for row in tables["moving"]),
    )


def carried(people: Sequence[Person], frames: Sequence[Poses]) -> NDArray[np.int_]:
    """(P, F): the id under which each true person is found in each frame, 0 for none."""
    places = np.stack([person.at(np.arange(len(frames))) for person in people])
    ids = np.zeros((len(people), len(frames)), np.int_)
    for index, poses in enumerate(frames):
        assert poses.ids is not None
        middles = poses.boxes[:, :2] + poses.boxes[:, 2:] / 2
        apart = np.linalg.norm(places[:, index, None, :2] - middles, axis=2) / places[:, index, 2, None]
        rows, columns = assign(np.nan_to_num(1 - apart / NEAR).astype(np.float32))
        ids[rows, index] = poses.ids[columns]
    return ids


def ids_of(ids: NDArray[np.int_]) -> list[int]:
    """The ids a person, (F,), carried for at least half a second."""
    return [identity for identity, frames in Counter(ids[ids > 0].tolist()).items() if frames >= SETTLED]


def crossings(people: Sequence[Person], ids: NDArray[np.int_]) -> list[Crossing]:
    """Everywhere two true people come close to each other, in the order of time."""
    frames = np.arange(ids.shape[1])
    places = [person.at(frames) for person in people]
    found = []
    for one, two in itertools.combinations(range(len(people)), 2):
        apart = np.linalg.norm(places[one][:, :2] - places[two][:, :2], axis=1)
        close = np.flatnonzero(apart < CLOSE * (places[one][:, 2] + places[two][:, 2]) / 2)
        for group in np.split(close, np.flatnonzero(np.diff(close) > 2 * SETTLED) + 1):
            if len(group):
                first, last = int(group[0]), int(group[-1])
                before = _usual(ids[one, :first][::-1]), _usual(ids[two, :first][::-1])
                after = _usual(ids[one, last + 1 :]), _usual(ids[two, last + 1 :])
                found.append(Crossing((people[one].name, people[two].name), first, last, before, after))
    return sorted(found, key=lambda crossing: crossing.first)


def _usual(ids: NDArray[np.int_]) -> int | None:
    """The commonest of the first ids given in a row that leads away from a crossing."""
    near = ids[:AROUND]
    given = near[near > 0][:SETTLED]
    return Counter(given.tolist()).most_common(1)[0][0] if len(given) else None
