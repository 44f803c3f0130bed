"""What `tune` has found: every configuration it looked at, which of them are worth having, and which holds the wish."""

from typing import Literal

from pydantic import Field, JsonValue

from agent.wire.commands import Agreement
from agent.wire.messages import Effective, HostInfo, Timestamp
from agent.wire.part import Part
from agent.wire.study import Clip, Recipe


class Wish(Part):
    """What is asked of a configuration; None is anything."""

    fps: float
    """Frames a second it has to be able to do; those that come where none are named."""
    pace: float | None = None
    """Frames a second that come: the footage's own rate, or what the configuration takes of it."""
    age_ms: float | None = None
    """From a frame's arrival to its message, of 95 frames in 100."""
    cpu_percent: float | None = None
    """Of the agent's process, with as many frames as come; 100 is one core."""


class AtPace(Part):
    """How a configuration did at the pace of the camera."""

    fps_asked: float
    """Frames a second that came."""
    fps: float
    """Frames a second that were finished."""
    age_ms_p50: float
    age_ms_p95: float
    cpu_percent: float
    """Of the agent's process; 100 is one core."""
    disturbed: str | None = None
    """Why the run was not quiet."""


class Trial(Part):
    """One configuration."""

    recipe: Recipe
    status: Literal["measured", "unavailable", "failed", "skipped"]
    reason: str = ""
    """Why it has no figures."""
    input: tuple[int, int] | None = None
    """Height and width."""
    effective: Effective | None = None
    fps: float | None = None
    """Frames a second, as fast as it goes."""
    latency_ms: float | None = None
    """Mean of inference, at that rate."""
    cpu_ms: float | None = None
    """Processor time of the agent's process for a frame."""
    agreement: Agreement | None = None
    """With the best network here, at its largest input, over the same frames."""
    quality: float | None = None
    """0 to 1: OKS of the people that both find, summed, over the people that either finds."""
    accurate: bool | None = None
    """Whether it passes the bar of a switch against FP32 of its own network and size; None where nobody can tell."""
    disturbed: str | None = None
    """Why the run was not quiet."""
    at_pace: AtPace | None = None
    """Of those that were tried at the camera's pace."""
    fails: tuple[str, ...] = ()
    """What of the wish it does not hold, in words; empty also where it was not tried at the camera's pace."""


class Tuning(Part):
    """The whole document."""

    schema_: Literal["edgepose.tuning/1"] = Field(default="edgepose.tuning/1", alias="schema")

    device_id: str
    started_at: Timestamp
    finished_at: Timestamp
    agent_version: str
    openvino_version: str
    host: HostInfo
    clip: Clip
    wish: Wish
    reference: Recipe
    """The network that all others are compared with, as it was run."""
    people: float
    """Whom the reference finds in a frame, in the mean."""
    asked: dict[str, JsonValue]
    """The arguments of the command."""
    trials: tuple[Trial, ...]
    frontier: tuple[int, ...]
    """Indices of the trials than which none finds more and is as fast, as soon and as cheap; the best quality first."""
    winner: int | None
    """Index of the trial that holds the wish, was tried at the camera's pace, and finds most; None where none does."""
    nearest: int | None
    """Without a winner, the one that comes nearest."""
    verdict: str
    """The decision in words."""
    left_out: int
    """Configurations that were not looked at because the time was over."""
    applied: bool
    """Whether the box was told to switch to the winner."""
