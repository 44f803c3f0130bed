"""What is asked of the agent: the part of it that commands change."""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from agent.config.tree import Config
from agent.wire.affinity import Affinity
from agent.wire.messages import Requested
from agent.wire.zones import Zones
from models.shelf.catalogue import Precision

Open = Literal["precision", "hint"]
"""What a measurement may choose, with the size of the input, where nobody says it."""
SAID: Final[tuple[Open, ...]] = ("precision", "hint")


class Settings(BaseModel):
    """What runs, as asked for; frozen, and written to disk as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str
    device: str
    precision: Precision
    affinity: Affinity | None = None
    hint: Literal["latency", "throughput"] = "latency"
    streams: int | None = None
    requests: int | None = None
    long_side: int | None = Field(default=None, exclude_if=lambda side: side is None)
    """Pixels of the network's input, by command; None is the configuration's. Left out of the file as the zones are."""
    detector: str | None = Field(default=None, exclude_if=lambda device: device is None)
    """Where the detector of a network of two stages runs; None is ``device``. Left out of the file as the size is."""
    said: tuple[Open, ...] = Field(default=(), exclude_if=lambda said: not said)
    """What a command, or a recipe, has named, be it what the configuration says: no measurement chooses another. Left
    out of the file as the size is."""
    paused: bool = False
    zones: Zones = Field(default_factory=dict, exclude_if=lambda zones: not zones)
    """Left out of the file where there are none, so that a version before zones reads it."""

    @classmethod
    def of(cls, config: Config) -> "Settings":
        """What the configuration asks for."""
        inference = config.inference
        return cls(
            model=config.model.name,
            device=inference.device,
            precision=inference.precision,
            hint=config.hint,
            streams=inference.streams,
            requests=inference.requests,
            zones=config.zones,
        )

    def requested(self) -> Requested:
        """As the state message tells it."""
        return Requested(
            model=self.model,
            device=self.device,
            precision=self.precision,
            affinity=self.affinity.model_dump(mode="json", exclude_none=True) if self.affinity else None,
            hint=self.hint,
            streams=self.streams,
            requests=self.requests,
            long_side=self.long_side,
            detector=self.detector,
        )
