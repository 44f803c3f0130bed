"""Who is in which zone: where people stand, when they cross, how long they stay.

All times are seconds of the scene's clock, so that dropped frames and a slow box change none of them: a crossing has
the moment of the first frame on the other side, and is told once it has held for ``CONFIRM_S``.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from agent.poses.skeleton import Poses
from agent.wire.zones import Zone

Floats = NDArray[np.float64]

FOOT_SEEN: Final = 0.2
"""Joints scored lower do not say where somebody stands."""
CONFIRM_S: Final = 0.2
"""Who stands on the line swings to and fro: a crossing that is taken back sooner was none."""
LOST_S: Final = 1.0
"""Who is not found for so long has left, at the moment of the last sight."""
# In lengths of the torso, shoulder to hip: R. Drillis and R. Contini, "Body segment parameters", 1966 (0.288 of the
# height; hip to ankle 0.491, knee to ankle 0.246).
LEG: Final = 1.70
SHIN: Final = 0.85
SHOULDERS, HIPS, KNEES, ANKLES = (slice(first, first + 2) for first in (5, 11, 13, 15))

Kind = Literal["entered", "left", "dwell"]


@dataclass(frozen=True, slots=True)
class Crossing:
    """Somebody entered, left, or stays."""

    kind: Kind
    zone: str
    person: int
    at_s: float
    """When it happened: at most ``LOST_S`` and a frame before it is told."""
    seconds: float = 0.0
    """How long the person has been, or was, in it."""


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Who is in a zone now."""

    persons: int | None
    """None while nobody looks."""
    ids: tuple[int, ...] = ()
    """Ascending; none where people are not tracked."""
    since_s: float | None = None
    """Since when it has not been empty."""


@dataclass(frozen=True, slots=True)
class ZoneFigures:
    """People in a zone over a window; None where no frame told."""

    persons_mean: float | None
    persons_max: int | None


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one frame changed."""

    crossings: tuple[Crossing, ...]
    changed: Mapping[str, Occupancy]
    at_s: float


def stands(poses: Poses) -> Floats:
    """(N, 2): the point on the ground below each person, in pixels of the frame.

    The middle of the ankles that are seen; where they are hidden, below knees or hips by what is usual for a torso of
    that length; without a torso, the middle of the box's lower edge.
    """
    boxes = poses.boxes.astype(np.float64)
    points = np.stack((boxes[:, 0] + boxes[:, 2] / 2, boxes[:, 1] + boxes[:, 3]), axis=1)
    for number, joints in enumerate(poses.keypoints.astype(np.float64)):
        ankles, knees, hips, shoulders = (_middle(joints[pair]) for pair in (ANKLES, KNEES, HIPS, SHOULDERS))
        if ankles is not None:
            points[number] = ankles
        elif hips is not None and shoulders is not None:
            torso = float(np.hypot(*(hips - shoulders)))
            joint, below = (hips, LEG) if knees is None else (knees, SHIN)
            points[number] = joint + np.array((0.0, below * torso))
    return points


def _middle(joints: Floats) -> Floats | None:
    seen = joints[joints[:, 2] >= FOOT_SEEN]
    return seen[:, :2].mean(axis=0) if len(seen) else None


def inside(points: Floats, polygon: Floats) -> NDArray[np.bool_]:
    """(N,): which of the points (N, 2) lie in the polygon (M, 2), by the even-odd rule; its left and top edges count.

    M. Shimrat, "Algorithm 112: position of point relative to polygon", CACM 1962.
    """
    x, y = points[:, :1], points[:, 1:]
    (ax, ay), (bx, by) = polygon.T, np.roll(polygon, -1, axis=0).T
    between = (ay > y) != (by > y)
    rise = np.where(by == ay, 1.0, by - ay)
    beyond = x < ax + (y - ay) * (bx - ax) / rise
    odd: NDArray[np.bool_] = np.count_nonzero(between & beyond, axis=1) % 2 == 1
    return odd


@dataclass(slots=True)
class _Stay:
    """One person and one zone."""

    seen_s: float
    entered_s: float | None = None
    """Since when the person counts as inside; None outside."""
    turned_s: float | None = None
    """Since when the person stands on the other side of that."""
    dwelt: bool = False


@dataclass(slots=True)
class _Watched:
    """One zone."""

    name: str
    zone: Zone
    polygon: Floats
    stays: dict[int, _Stay] = field(default_factory=dict)
    occupancy: Occupancy = Occupancy(None)
    counts: list[int] = field(default_factory=list)


class ZoneWatch:
    """Looks at every frame. ``watch`` may be called from another thread than the rest."""

    def __init__(self, zones: Mapping[str, Zone]) -> None:
        self._lock = threading.Lock()
        self._masks: list[Floats] = []
        self._zones: dict[str, _Watched] = {}
        self.watch(zones)

    def watch(self, zones: Mapping[str, Zone]) -> None:
        """Look at these zones from the next frame on; those that have not changed go on."""
        with self._lock:
            known = self._zones
            self._masks = [np.array(zone.polygon) for zone in zones.values() if zone.mask]
            self._zones = {
                name: known[name] if name in known and known[name].zone == zone else _watched(name, zone)
                for name, zone in zones.items()
                if not zone.mask
            }

    def masked(self, poses: Poses, width: int, height: int) -> Poses:
        """All but those who have at least half of their seen joints under a mask."""
        if not self._masks or not len(poses):
            return poses
        with self._lock:
            joints = poses.keypoints.reshape(-1, 3).astype(np.float64)
            under = np.zeros(len(joints), np.bool_)
            for mask in self._masks:
                under |= inside(joints[:, :2] / (width, height), mask)
        seen = poses.keypoints[..., 2] >= FOOT_SEEN
        kept = (under.reshape(seen.shape) & seen).sum(axis=1) * 2 < np.maximum(seen.sum(axis=1), 1)
        return poses if kept.all() else poses.only(kept)

    def look(self, poses: Poses, width: int, height: int, at_s: float) -> Sighting:
        """Take in one frame of ``width`` by ``height`` pixels, in order; untracked people are counted alone."""
        with self._lock:
            if not self._zones:
                return Sighting((), {}, at_s)
            shown = poses.certain()
            # Feet below the picture stand at its edge: a zone that reaches the edge means them too.
            points = np.clip(stands(shown) / (width, height), 0, 1 - 1e-9)
            crossings: list[Crossing] = []
            changed: dict[str, Occupancy] = {}
            for watched in self._zones.values():
                within = inside(points, watched.polygon)
                if shown.ids is None:
                    now = _counted(watched.occupancy, int(within.sum()), (), at_s)
                else:
                    crossings += _follow(watched, dict(zip(shown.ids.tolist(), within.tolist(), strict=True)), at_s)
                    ids = tuple(sorted(p for p, stay in watched.stays.items() if stay.entered_s is not None))
                    now = _counted(watched.occupancy, len(ids), ids, at_s)
                watched.counts.append(now.persons or 0)
                if now != watched.occupancy:
                    watched.occupancy = changed[watched.name] = now
            return Sighting(tuple(crossings), changed, at_s)

    def take(self) -> dict[str, ZoneFigures]:
        """Close the window and begin the next; without a frame in it nobody knows who is where."""
        with self._lock:
            figures = {}
            for watched in self._zones.values():
                counts, watched.counts = watched.counts, []
                if not counts:
                    watched.occupancy = Occupancy(None)
                figures[watched.name] = ZoneFigures(
                    round(float(np.mean(counts)), 3) if counts else None, max(counts, default=None)
                )
            return figures

    def occupancies(self) -> dict[str, Occupancy]:
        """Who is where, of all zones."""
        with self._lock:
            return {name: watched.occupancy for name, watched in self._zones.items()}


def _watched(name: str, zone: Zone) -> _Watched:
    return _Watched(name, zone, np.array(zone.polygon))


def _counted(before: Occupancy, persons: int, ids: tuple[int, ...], at_s: float) -> Occupancy:
    if not persons:
        return Occupancy(0)
    return Occupancy(persons, ids, at_s if before.since_s is None else before.since_s)


def _follow(watched: _Watched, found: dict[int, bool], at_s: float) -> list[Crossing]:
    """Take in where the people found stand: ids to whether that is inside."""
    told: list[Crossing] = []
    for person, within in found.items():
        stay = watched.stays.setdefault(person, _Stay(at_s))
        stay.seen_s = at_s
        if within == (stay.entered_s is not None):
            stay.turned_s = None
        elif stay.turned_s is None:
            stay.turned_s = at_s
        if stay.turned_s is not None and at_s - stay.turned_s >= CONFIRM_S - 1e-6:
            told.append(_crossed(watched.name, person, stay))
    for person, stay in list(watched.stays.items()):
        if at_s - stay.seen_s > LOST_S:
            if stay.entered_s is not None:
                # Who was turning to go when last seen had gone by then.
                gone_s = stay.seen_s if stay.turned_s is None else stay.turned_s
                told.append(Crossing("left", watched.name, person, gone_s, gone_s - stay.entered_s))
            del watched.stays[person]
        elif stay.entered_s is not None and not stay.dwelt and 0 < watched.zone.dwell_s <= stay.seen_s - stay.entered_s:
            stay.dwelt = True
            dwell_s = watched.zone.dwell_s
            told.append(Crossing("dwell", watched.name, person, stay.entered_s + dwell_s, dwell_s))
    return told


def _crossed(zone: str, person: int, stay: _Stay) -> Crossing:
    assert stay.turned_s is not None
    at_s, stay.turned_s, entered_s = stay.turned_s, None, stay.entered_s
    if entered_s is None:
        stay.entered_s, stay.dwelt = at_s, False
        return Crossing("entered", zone, person, at_s)
    stay.entered_s = None
    return Crossing("left", zone, person, at_s, at_s - entered_s)
