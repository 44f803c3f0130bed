"""Which layers run on which device: what `set-affinity` and `plan-affinity` take, and what a plan says."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from agent.wire.part import Part

Preset = Literal["fallback", "convolutions", "split"]
DeviceName = Annotated[str, Field(min_length=1, max_length=64)]


class Match(Part):
    """What a rule applies to: exactly one of its keys is given."""

    type: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Operation type, for example ``Convolution``."""
    name: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Glob over the operation's name."""
    first: Annotated[float, Field(gt=0, le=1)] | None = None
    """This fraction of the operations, in the order in which they run."""
    heaviest: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """So many operations, those that take longest when measured."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(value is not None for value in (self.type, self.name, self.first, self.heaviest)) != 1:
            raise ValueError("give exactly one of type, name, first, heaviest")
        return self


class Rule(Part):
    """Operations that match run on the device; of several rules the first that matches counts."""

    match: Match
    device: DeviceName


class Affinity(Part):
    """A preset, or rules and the device of what no rule matches."""

    preset: Preset | None = None
    rules: Annotated[tuple[Rule, ...], Field(max_length=64)] = ()
    default: DeviceName | None = None
    """The device of what no rule matches; None leaves it to OpenVINO."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.preset is None) == (not self.rules):
            raise ValueError("give a preset, or rules; not both")
        if self.preset is not None and self.default is not None:
            raise ValueError("default goes with rules, not with a preset")
        return self

    def devices(self) -> tuple[str, ...]:
        """Every device that is named, in the order of appearance."""
        named = [rule.device for rule in self.rules] + ([self.default] if self.default else [])
        return tuple(dict.fromkeys(named))


class Boundary(Part):
    """A tensor that crosses from one device to another."""

    source: str
    """Device."""
    target: str
    """Device."""
    operation: str
    """Name of the operation that makes it."""
    bytes: int


class Expected(Part):
    """What `split` measured and what it makes of it, in milliseconds a frame."""

    frame_ms: float
    """With the cut it chose."""
    alone_ms: dict[str, float]
    """The whole network on each device alone."""
    crossing_ms: float
    """Its share of ``frame_ms``."""


class Plan(Part):
    """Where the operations of a network go, without running it."""

    device: str
    affinity: Affinity
    operations: dict[str, int]
    """Device to number of operations, constants not counted."""
    submodels: int
    boundaries: tuple[Boundary, ...]
    bytes_moved: int
    """Sum over the boundaries: bytes that cross with each frame."""
    moved: dict[str, int] = Field(default_factory=dict)
    """Operations a rule placed where the device cannot run them, by type; they go where OpenVINO would put them."""
    expected: Expected | None = None
    """`split` alone."""
    mermaid: str
    """The submodels and what crosses between them, as a Mermaid flowchart."""
