"""Sees that the camera's picture has another shape than the input of the engine in use.

It is so when the camera was away at the start, or was set to another format since: people would be looked at through
an input that is larger than need be, or that shrinks them, until somebody asks for a change.
"""

from typing import Final

from agent.control.events import Reshaped
from agent.control.samples import Samples
from agent.control.settings import Settings
from agent.control.workshop import Workshop
from agent.errors import EdgeposeError
from agent.inference.spec import EngineSpec

STEADY_S: Final = 5.0
"""So long a picture keeps its shape before it counts: while somebody sets a camera up it changes again and again."""


class Reshaping:
    """Tells of each shape once: what could not be built for it is not tried again until something else changes."""

    def __init__(self, workshop: Workshop, samples: Samples) -> None:
        self._workshop = workshop
        self._samples = samples
        self._seen: tuple[Settings, EngineSpec, int, int] | None = None
        self._since_s = 0.0
        self._judged = False

    def look(self, settings: Settings, spec: EngineSpec, now_s: float) -> Reshaped | None:
        """Compare the engine in use with what a start before this picture would build of the same settings."""
        frame = self._samples.newest
        if frame is None:
            return None
        area = frame.area
        seen = (settings, spec, area.width, area.height)
        if seen != self._seen:
            self._seen, self._since_s, self._judged = seen, now_s, False
        if self._judged or now_s - self._since_s < STEADY_S:
            return None
        self._judged = True
        try:
            height, width = self._workshop.size(self._workshop.fitted(settings, frame), frame)
        except EdgeposeError:  # the network is being replaced, or was removed under the engine in use
            return None
        runs = (spec.width, spec.height)
        return Reshaped((area.width, area.height), (width, height), runs) if (width, height) != runs else None
