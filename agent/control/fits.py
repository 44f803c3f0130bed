"""Input sizes that were measured to fit the camera, remembered over restarts.

They are no settings: whoever asks for a size overrules them, and they count for what they were measured with alone.
"""

from pathlib import Path
from typing import Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.capture.frame import Frame
from agent.control.settings import Settings
from agent.durable import replace_file
from agent.wire.messages import Fitted

KEPT_MAX = 32

log = structlog.get_logger()


class Place(BaseModel):
    """What a size was measured for."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str
    device: str
    precision: str
    hint: str
    width: int
    """Pixels of what the network looks at in the camera's picture."""
    height: int
    age_ms_max: float

    @classmethod
    def of(cls, settings: Settings, frame: Frame, age_ms_max: float) -> "Place":
        """What these settings are, before this camera."""
        return cls(
            model=settings.model,
            device=settings.device,
            precision=settings.precision,
            hint=settings.hint,
            width=frame.area.width,
            height=frame.area.height,
            age_ms_max=age_ms_max,
        )

    def resembles(self, other: "Place") -> bool:
        """Whether it is the same network before the same camera, be it on another device."""
        return (self.model, self.width, self.height) == (other.model, other.width, other.height)


class Fit(BaseModel):
    """The size that was chosen for a place."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    place: Place
    long_side: int | None = Field(ge=1)
    """Pixels; None where none holds, and the network's own stays."""
    camera_fps: float
    """Of the camera then."""
    measured: Fitted | None = None
    """Its figures; none where none holds."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    fits: tuple[Fit, ...]


class Fits:
    """The sizes of a box in their file; what cannot be read is measured again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept = _read(path)
        self.suspended = False
        """Whether nothing is measured and nothing known until the next start."""

    def known(self, place: Place) -> Fit | None:
        """What was measured for just this place."""
        return next((fit for fit in self._kept if fit.place == place), None)

    def best(self, place: Place) -> Fit | None:
        """What was measured for it, or last for the same network and camera: a size outlives a change of device."""
        return self.known(place) or next((fit for fit in reversed(self._kept) if fit.place.resembles(place)), None)

    def keep(self, fit: Fit) -> None:
        """Remember one; a file that cannot be written is told in the log, and the size measured at the next start."""
        self._kept = (*(known for known in self._kept if known.place != fit.place), fit)[-KEPT_MAX:]
        try:
            replace_file(self._path, _Document(fits=self._kept).model_dump_json().encode(), private=True)
        except OSError as error:
            log.warning("input.not_saved", file=str(self._path), cause=error.strerror or str(error))

    def suspend(self) -> bool:
        """Do without until the next start: what runs now is the networks' own size; whether there was another."""
        self.suspended = True
        had_some = any(fit.long_side is not None for fit in self._kept)
        self._kept = ()
        return had_some


def _read(path: Path) -> tuple[Fit, ...]:
    try:
        return _Document.model_validate_json(path.read_bytes()).fits
    except FileNotFoundError:
        return ()
    except (OSError, ValidationError) as error:
        cause = error.strerror or str(error) if isinstance(error, OSError) else "it holds no sizes"
        log.warning("input.forgotten", file=str(path), cause=cause)
        return ()
