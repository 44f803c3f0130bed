"""What was measured to fit the camera, remembered over restarts: size of the input, precision and hint.

They are no settings: whoever asks for one of them overrules it, and they count for what they were measured with alone.
"""

from pathlib import Path
from typing import Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.control.settings import SAID, Settings
from agent.durable import replace_file
from agent.wire.messages import Fitted
from models.shelf.catalogue import Precision

KEPT_MAX = 32

log = structlog.get_logger()


class Place(BaseModel):
    """What was measured for: what is asked for, before which camera, and what there was to choose from."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str
    device: str
    precision: str
    hint: str
    width: int
    """Pixels of what the network looks at in the camera's picture."""
    height: int
    age_ms_max: float
    precisions: tuple[Precision, ...] = ()
    """To choose from; none where one is asked for."""
    any_hint: bool = False
    """Whether none is asked for."""
    input: tuple[int, int] | None = None
    """Height and width, where they are asked for."""

    @property
    def open(self) -> bool:
        """Whether there is anything to choose."""
        return self.input is None or self.any_hint or len(self.precisions) > 1

    def resembles(self, other: "Place") -> bool:
        """Whether it is the same network before the same camera, be it on another device."""
        return (self.model, self.width, self.height) == (other.model, other.width, other.height)


class Fit(BaseModel):
    """What was chosen for a place; of each part None where it was not to choose, and of all where nothing holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    place: Place
    long_side: int | None = Field(ge=1)
    """Pixels."""
    precision: Precision | None = None
    hint: Literal["latency", "throughput"] | None = None
    camera_fps: float
    """Of the camera then."""
    measured: Fitted | None = None
    """Its figures; none where nothing holds."""
    whole: bool = True
    """Whether there was time for all that might have been better; else it is measured again at the next start."""

    def applied(self, settings: Settings) -> Settings:
        """The settings with what was chosen, which nothing chooses anew."""
        chosen = {"long_side": self.long_side, "precision": self.precision, "hint": self.hint}
        return settings.model_copy(
            update={part: value for part, value in chosen.items() if value is not None} | {"said": SAID}
        )

    def at(self, place: Place) -> "Fit":
        """What of it counts for a place: the size alone where it is another one that resembles its own."""
        if place == self.place:
            return self
        side = self.long_side if place.input is None else None
        measured = self.measured and self.measured.model_copy(update={"chosen": ("input",)})
        return self.model_copy(update={"long_side": side, "precision": None, "hint": None, "measured": measured})


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    fits: tuple[Fit, ...]


class Fits:
    """What fits a box, in its file; what cannot be read is measured again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept = _read(path)
        self._found: tuple[tuple[Fit, ...], Place, Fit | None] | None = None
        """What :meth:`best` has found last, where, and among which."""
        self.suspended = False
        """Whether nothing is measured and nothing known until the next start."""

    def known(self, place: Place) -> Fit | None:
        """What was measured for just this place."""
        return next((fit for fit in self._kept if fit.place == place), None)

    def best(self, place: Place) -> Fit | None:
        """What was measured for it, or last for the same network and camera: a size outlives a change of device.

        The same object each time, as long as nothing else is kept.
        """
        if self._found is not None and self._found[0] is self._kept and self._found[1] == place:
            return self._found[2]
        near = self.known(place) or next((fit for fit in reversed(self._kept) if fit.place.resembles(place)), None)
        fit = None if near is None else near.at(place)
        self._found = (self._kept, place, fit)
        return fit

    def keep(self, fit: Fit) -> None:
        """Remember one; a file that cannot be written is told in the log, and it is measured at the next start."""
        self._kept = (*(known for known in self._kept if known.place != fit.place), fit)[-KEPT_MAX:]
        try:
            replace_file(self._path, _Document(fits=self._kept).model_dump_json().encode(), private=True)
        except OSError as error:
            log.warning("input.not_saved", file=str(self._path), cause=error.strerror or str(error))

    def suspend(self) -> bool:
        """Do without until the next start: what runs now is what is asked for; whether there was anything else."""
        self.suspended = True
        had_some = any(fit.measured is not None for fit in self._kept)
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
