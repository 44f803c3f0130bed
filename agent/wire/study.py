"""The study: the document that `benchmark` and `sweep` make."""

from typing import Literal

from pydantic import Field, JsonValue

from agent.wire.affinity import Preset
from agent.wire.commands import Agreement, HintName, PrecisionName
from agent.wire.messages import Effective, HostInfo, Timestamp
from agent.wire.part import Part


class Recipe(Part):
    """What a row measures."""

    engine: Literal["openvino", "original"]
    """The original model is the network in its original format, run by OpenCV's DNN module on the CPU."""
    model: str
    device: str
    precision: PrecisionName
    affinity: Preset | None = None
    hint: HintName | None = None
    long_side: int | None = Field(default=None, exclude_if=lambda side: side is None)
    """Pixels of the network's input; None, which is left out, is the study's own input."""
    detector: str | None = Field(default=None, exclude_if=lambda device: device is None)
    """Where the detector of a network of two stages runs; None, which is left out, is the same device."""


class Spread(Part):
    """One figure over the runs."""

    mean: float
    min: float
    max: float
    deviation: float | None
    """Standard deviation of the sample; None of a single run."""
    interval: tuple[float, float] | None
    """95 % confidence interval of the mean (Student's t); None of a single run."""


class Run(Part):
    """From the first frame of the clip to the last."""

    frames: int
    seconds: float
    fps: float
    latency_ms_mean: float
    """Inference alone, start to result: the study's latency."""
    latency_ms_min: float
    latency_ms_max: float
    latency_ms_p50: float
    latency_ms_p95: float
    latency_ms_p99: float
    stages_ms: dict[str, float]
    """Mean of each stage: capture, prepare, infer, decode, track, publish."""
    cpu_percent: float
    """Of this process; 100 is one core."""
    others_percent: float | None
    """What other processes took of the whole machine meanwhile."""
    rss_mb: float
    temperature_c: float | None
    throttled: bool | None
    """Whether the processor slowed itself down; None where the machine cannot tell."""
    round: int | None = Field(default=None, exclude_if=lambda number: number is None)
    """Rows are measured in rounds, one run of each after the other: which of them, from 1. Left out by older agents."""
    disturbed: str | None = None
    """Why the run was not quiet. It is repeated, and counts only where every repetition was disturbed too."""


class Limit(Part):
    """What the compiled network could do without the application."""

    raw_fps: float
    gflops: float
    """Billions of operations a second at that rate."""
    peak_gflops: float | None
    """What the same device reached on large convolutions alone at this precision; None where it cannot run them."""


class Row(Part):
    """One configuration."""

    recipe: Recipe
    status: Literal["measured", "unavailable", "failed"]
    reason: str = ""
    """Why it is unavailable or failed."""
    runs: tuple[Run, ...] = ()
    fps: Spread | None = None
    latency_ms: Spread | None = None
    """Of the runs' mean latencies."""
    latency_ms_p50: float | None = None
    """Over the frames of all runs, like the two below."""
    latency_ms_p95: float | None = None
    latency_ms_p99: float | None = None
    speedup: float | None = None
    """Frames per second over those of the original model."""
    effective: Effective | None = None
    input: tuple[int, int] | None = Field(default=None, exclude_if=lambda size: size is None)
    """Height and width, of a row whose recipe names a long side; left out elsewhere."""
    bytes_moved: int | None = None
    """Between the devices of HETERO, with each frame."""
    agreement: Agreement | None = None
    """With FP32 on the CPU at the largest input size of the study, over the same frames."""
    accurate: bool | None = None
    """Whether the agreement passes the bar; None where too few people were in view to judge."""
    limit: Limit | None = None
    disturbed_runs: int = 0
    """Runs that were disturbed, those that were repeated included."""


class Clip(Part):
    """What was looked at."""

    name: str
    frames: int
    """In each run."""
    width: int
    height: int
    fps: float | None


class Bar(Part):
    """What a precision must keep of FP32."""

    missed_max: float
    oks_min: float


class Study(Part):
    """The whole document."""

    schema_: Literal["edgepose.study/1"] = Field(default="edgepose.study/1", alias="schema")

    device_id: str
    started_at: Timestamp
    finished_at: Timestamp | None = None
    """None while it goes on."""
    agent_version: str
    openvino_version: str
    opencv_version: str
    host: HostInfo
    devices: dict[str, str]
    """Name to full name of what the box has."""
    model: str
    input: tuple[int, int]
    """Height and width; rows may have others."""
    gflops_per_frame: float
    clip: Clip
    bar: Bar
    asked: dict[str, JsonValue]
    """The arguments of the command."""
    rows: tuple[Row, ...] = ()
    best_throughput: int | None = None
    """Index of the row with the most frames per second among those that may be chosen; None where none may, or where
    the runs do not tell it from the next."""
    best_latency: int | None = None
    applied: int | None = None
    """Index of the row that the box was told to switch to."""
