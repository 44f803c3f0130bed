"""People from frame to frame: ids that stay, and joints without jitter."""

from collections.abc import Callable

from agent.config.tree import Smoothing, Tracking
from agent.poses.skeleton import Poses
from agent.tracking.smoother import Smoother
from agent.tracking.tracker import Tracker

Track = Callable[[Poses, float], Poses]
"""Poses of a frame and the seconds of the scene's clock to the same people, followed."""


class Follower:
    """The stage of an agent, whose settings may change while it runs: ids go on where they were."""

    def __init__(self, tracking: Tracking, smoothing: Smoothing) -> None:
        self._tracker = Tracker(tracking)
        self._smoother = Smoother(smoothing)
        self._now = self._wanted = (tracking, smoothing)

    def configure(self, tracking: Tracking, smoothing: Smoothing) -> None:
        """Take other settings from the next frame on; from any thread."""
        self._wanted = (tracking, smoothing)

    def update(self, poses: Poses, at_s: float) -> Poses:
        """The people of a frame, followed as far as the settings say; see :meth:`Tracker.update`."""
        if (wanted := self._wanted) is not self._now:
            self._now = wanted
            self._tracker.configure(wanted[0])
            self._smoother.configure(wanted[1])
        tracking, smoothing = self._now
        if not tracking.enabled:
            return poses
        tracked = self._tracker.update(poses, at_s)
        return self._smoother.update(tracked, at_s) if smoothing.enabled else tracked


def track_stage(tracking: Tracking, smoothing: Smoothing) -> Track | None:
    """The stage as configured; None when people are not tracked, and then not smoothed either."""
    if not tracking.enabled:
        return None
    tracker = Tracker(tracking)
    if not smoothing.enabled:
        return tracker.update
    smoother = Smoother(smoothing)
    return lambda poses, at_s: smoother.update(tracker.update(poses, at_s), at_s)
