"""The study: what `benchmark` and `sweep` take, and the document they make."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from agent.wire.affinity import Preset
from agent.wire.commands import Agreement, Args
from agent.wire.messages import Effective, HostInfo, Part, Timestamp

PrecisionName = Literal["FP32", "FP16", "INT8"]
HintName = Literal["latency", "throughput"]
Aim = Literal["best", "best-throughput", "best-latency"]
DeviceText = Annotated[str, Field(min_length=1, max_length=256)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


class Measuring(Args):
    """How long each configuration is measured, and on what. The clip is read again from its start for every run."""

    runs: Annotated[int, Field(ge=1, le=100)] = 20
    frames: Annotated[int, Field(ge=10, le=100_000)] | None = None
    """Of the clip, for each run; instead of ``seconds``."""
    seconds: Annotated[float, Field(gt=0, le=3600)] = 60.0
    """Of the clip at its own pace, for each run: at 10 frames a second 60 are 600 frames."""
    clip: Name | None = None
    """An installed clip. None is the configured source where it is a file, else a clip recorded from the camera."""


class Benchmark(Measuring):
    """Measure one configuration; what is left out is as it runs now."""

    device: DeviceText | None = None
    precision: PrecisionName | None = None
    affinity: Preset | None = None
    hint: HintName | None = None


class Sweep(Measuring):
    """Measure every combination, and the original model; what is left out is what the study measured, AUTO and NPU."""

    devices: Annotated[tuple[DeviceText, ...], Field(min_length=1, max_length=16)] = (
        "CPU",
        "GPU",
        "NPU",
        "AUTO",
        "MULTI:GPU,CPU",
        "HETERO:GPU,CPU",
    )
    precisions: Annotated[tuple[PrecisionName, ...], Field(min_length=1, max_length=3)] = ("FP32", "FP16", "INT8")
    affinities: Annotated[tuple[Preset, ...], Field(min_length=1, max_length=3)] = ("fallback", "convolutions", "split")
    """Of the HETERO devices alone."""
    hints: Annotated[tuple[HintName, ...], Field(min_length=1, max_length=2)] = ("throughput",)
    baseline_runs: Annotated[int, Field(ge=0, le=100)] = 10
    """Runs of the original model; 0 leaves it out."""
    apply: Aim | None = None
    """Switch to the winner at the end."""
    max_accuracy_loss: Annotated[float, Field(ge=0, le=1)] | None = None
    """People the winner may miss, as a fraction; None is the configured bar."""


class Recipe(Part):
    """What a row measures."""

    engine: Literal["openvino", "original"]
    """The original model is the network in its original format, run by OpenCV's DNN module on the CPU."""
    model: str
    device: str
    precision: PrecisionName
    affinity: Preset | None = None
    hint: HintName | None = None


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
    bytes_moved: int | None = None
    """Between the devices of HETERO, with each frame."""
    agreement: Agreement | None = None
    """With FP32 on the CPU, over the same frames."""
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
    """Height and width."""
    gflops_per_frame: float
    clip: Clip
    bar: Bar
    asked: dict[str, JsonValue]
    """The arguments of the command."""
    rows: tuple[Row, ...] = ()
    best_throughput: int | None = None
    """Index of the row with the most frames per second among those that may be chosen."""
    best_latency: int | None = None
    applied: int | None = None
    """Index of the row that was switched to."""
