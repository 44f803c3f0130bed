"""People from frame to frame: ids that stay, and joints without jitter."""

from collections.abc import Callable

from agent.config.tree import Smoothing, Tracking
from agent.poses.skeleton import Poses
from agent.tracking.smoother import Smoother
from agent.tracking.tracker import Tracker

Track = Callable[[Poses, float], Poses]
"""Poses of a frame and the seconds of the scene's clock to the same people, followed."""


def track_stage(tracking: Tracking, smoothing: Smoothing) -> Track | None:
    """The stage as configured; None when people are not tracked, and then not smoothed either."""
    if not tracking.enabled:
        return None
    tracker = Tracker(tracking)
    if not smoothing.enabled:
        return tracker.update
    smoother = Smoother(smoothing)
    return lambda poses, at_s: smoother.update(tracker.update(poses, at_s), at_s)
