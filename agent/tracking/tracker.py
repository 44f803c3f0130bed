"""Ids that stay: which person of this frame is which of the frames before.

People are matched by how alike their predicted and their found poses are (object keypoint similarity), paired at the
greatest total, and predicted at constant velocity, after SORT (A. Bewley et al., "Simple online and realtime tracking",
ICIP 2016). Appearance plays no part: who comes back after ``keep_s`` is somebody new.
"""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.config.tree import Tracking
from agent.poses.oks import pose_similarity
from agent.poses.skeleton import JOINT_SEEN, Poses
from agent.tracking.assignment import assign
from agent.tracking.tracks import Tracks

Floats = NDArray[np.float32]
Indices = NDArray[np.intp]

# Found on a clip played forwards, backwards, at half its rate and at two input sizes, not at one of them alone.
LOOSENESS: Final = np.float32(2.5)
"""Widens the similarity's sigmas: people move between two frames, and far from the camera joints are coarse."""
LOOSENING_PER_S: Final = np.float32(2.0)
"""By how much it grows for every second a person has not been seen."""
LOOSENING_MAX_S: Final = np.float32(2.0)
"""For so long. Without an end everybody would be alike at last: who is remembered for minutes and comes back far from
where they were lost is somebody else, since nothing says otherwise."""


class Tracker:
    """Gives people ids: positive, growing, never used again.

    How long somebody is remembered is told in seconds, because a slow box or a dropped frame must not change it; when a
    newcomer is certain is told in frames, because each is one more opinion of the network.
    """

    def __init__(self, settings: Tracking) -> None:
        self._settings = settings
        self._tracks = Tracks.none()
        self._last_id = 0
        self._at_s: float | None = None

    def configure(self, settings: Tracking) -> None:
        """Take other settings. Who was followed before it was switched off is not who comes after."""
        if settings.enabled != self._settings.enabled:
            self._tracks = Tracks.none()
        self._settings = settings

    def update(self, poses: Poses, at_s: float) -> Poses:
        """The same people with ids, of the frame taken at ``at_s`` seconds; 0 for a newcomer not yet certain.

        Who is not found is never made up.
        """
        elapsed_s = 0.0 if self._at_s is None else max(0.0, at_s - self._at_s)
        self._at_s = at_s
        joints = poses.keypoints * (poses.keypoints[..., 2:] >= JOINT_SEEN)
        areas = np.maximum(poses.boxes[:, 2] * poses.boxes[:, 3], 1)
        tracks = self._tracks
        tracks.predict(elapsed_s)
        rows, columns = self._match(joints, areas)
        tracks.correct(rows, joints[columns], areas[columns])

        place = np.full(len(poses), -1, np.intp)
        place[columns] = rows
        if len(newcomers := np.flatnonzero(place < 0)):
            place[newcomers] = len(tracks) + np.arange(len(newcomers))
            tracks = tracks.joined(Tracks.born(joints[newcomers], areas[newcomers]))
        self._name(tracks)
        ids = tracks.ids[place]
        keep_s = np.where(tracks.ids > 0, self._settings.keep_s, 0.0)
        alive = tracks.unseen_s <= keep_s
        self._tracks = tracks if alive.all() else tracks[alive]
        return replace(poses, ids=ids)

    def _match(self, joints: Floats, areas: Floats) -> tuple[Indices, Indices]:
        """Rows of tracks and the people found, (N, 17, 3) and (N,), that continue them."""
        tracks = self._tracks
        looseness = LOOSENESS + LOOSENING_PER_S * np.minimum(tracks.unseen_s, LOOSENING_MAX_S)
        similarity = pose_similarity(tracks.joints, tracks.areas, joints, areas, looseness)
        similarity[similarity < self._settings.similarity_min] = 0
        return assign(similarity)

    def _name(self, tracks: Tracks) -> None:
        """Give the next ids to those who have become certain."""
        certain = np.flatnonzero((tracks.ids == 0) & (tracks.sightings >= self._settings.birth_frames))
        tracks.ids[certain] = self._last_id + 1 + np.arange(len(certain))
        self._last_id += len(certain)
