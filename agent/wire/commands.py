"""Commands and replies of the wire, version 1.

:class:`Incoming` is a command as it came off the broker, nothing believed yet; :func:`agent.wire.codec.decode` makes a
:class:`Command` of it or refuses it.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import Field, JsonValue

from agent.wire.affinity import Affinity, Preset
from agent.wire.messages import Effective, Message, Requested, Timestamp
from agent.wire.part import Part
from agent.wire.settings import SETTINGS_MAX, SettingName, SettingValue
from agent.wire.wording import Worded
from agent.wire.zones import Zones

COMMAND_BYTES_MAX = 16 * 1024
SHORT_CHARACTERS: Final = 60
ASKING: Final = frozenset({"check", "describe", "get", "jobs", "logs", "plan-affinity", "snapshot"})
"""Commands that change nothing: without its result the reply to them says nothing."""
LOG_LINES_MAX: Final = 1000
"""That a box keeps, and tells."""

PrecisionName = Literal["FP32", "FP16", "INT8"]
HintName = Literal["latency", "throughput"]
Aim = Literal["best", "best-throughput", "best-latency"]
DeviceText = Annotated[str, Field(min_length=1, max_length=256)]
LongSide = Annotated[int, Field(ge=32, le=4096)]
_NAME: Final = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
ModelName = Annotated[
    str,
    _NAME,
    Worded("a network's name as `models list` shows them, such as movenet-multipose: no address, no file"),
]
ClipName = Annotated[
    str, _NAME, Worded("a clip's name as `models list` shows them, such as vtest: no address, no file")
]


class ErrorCode(StrEnum):
    """Why a command was not done."""

    INVALID_PAYLOAD = "invalid_payload"
    UNKNOWN_COMMAND = "unknown_command"
    UNKNOWN_DEVICE = "unknown_device"
    UNAVAILABLE_DEVICE = "unavailable_device"
    UNKNOWN_MODEL = "unknown_model"
    UNAVAILABLE_PRECISION = "unavailable_precision"
    INVALID_AFFINITY = "invalid_affinity"
    COMPILE_FAILED = "compile_failed"
    TRIAL_FAILED = "trial_failed"
    ACCURACY_FAILED = "accuracy_failed"
    TOO_SLOW = "too_slow"
    BUSY = "busy"
    EXPIRED = "expired"
    RETAINED = "retained"
    UNTRUSTED = "untrusted"
    VERSION_CONFLICT = "version_conflict"
    NOT_FOUND = "not_found"
    CANCELLED = "cancelled"
    TOO_LARGE = "too_large"
    UNKNOWN_SETTING = "unknown_setting"
    UNSUPERVISED = "unsupervised"
    FETCH_FAILED = "fetch_failed"
    INTERNAL = "internal"


class CommandError(Exception):
    """A command cannot be done: a code, what is wrong, and what to do about it."""

    def __init__(self, code: ErrorCode, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


class Args(Part):
    """What a command takes."""


class NoArgs(Args):
    """Of a command that takes none."""


class SetDevice(Args):
    """A device string, see :mod:`agent.wire.devices`; it may be in any case."""

    device: Annotated[str, Field(min_length=1, max_length=256)]
    detector: DeviceText | None = None
    """Where the detector of a network of two stages runs; None is the same device."""


class SetPrecision(Args):
    """A precision."""

    precision: Literal["FP32", "FP16", "INT8"]


class SetModel(Args):
    """A network's name, as the birth message lists them."""

    model: ModelName


class SetAffinity(Args, Affinity):
    """Which layers run on which device."""


class PlanAffinity(Args, Affinity):
    """The same, to be answered with the plan alone."""


class SetHint(Args):
    """What to optimise for. What is left out is left to OpenVINO."""

    hint: Literal["latency", "throughput"]
    streams: Annotated[int, Field(ge=1, le=1024)] | None = None
    requests: Annotated[int, Field(ge=1, le=1024)] | None = None


class SetInput(Args):
    """The long side of the network's input in pixels; the short one follows the camera."""

    long_side: LongSide | None = None
    """None is the size of the configuration."""


class SetZones(Args):
    """Zones and masks, all of them: who is not named is gone."""

    zones: Zones | None = None
    """None is those of the configuration."""


class SetSettings(Args):
    """Other values for keys of the configuration that may be changed from afar: all of them, or none."""

    settings: Annotated[dict[SettingName, SettingValue], Field(min_length=1, max_length=SETTINGS_MAX)]
    dry_run: bool = False
    """Say what would be, and change nothing."""
    restart: bool = True
    """Start anew where it takes that, if a service manager sees to it."""


class UnsetSettings(Args):
    """Keys that are to be as the box's own configuration has them; None is all that were changed."""

    keys: Annotated[tuple[SettingName, ...], Field(min_length=1, max_length=SETTINGS_MAX)] | None = None
    dry_run: bool = False
    restart: bool = True


class GetSettings(Args):
    """Keys to be told; None is all that may be changed from afar."""

    keys: Annotated[tuple[SettingName, ...], Field(min_length=1, max_length=SETTINGS_MAX)] | None = None


class SetPaused(Args):
    """Pause or resume, for who has one topic for both, such as a switch of Home Assistant."""

    paused: bool


class Quantize(Args):
    """Make the INT8 variant of the running network, or of another, from frames of the camera."""

    model: ModelName | None = None
    frames: Annotated[int, Field(ge=60, le=2000)] = 300
    """Frames to record."""
    seconds: Annotated[float, Field(gt=0, le=3600)] = 120.0
    """At most so long."""


class Measuring(Args):
    """How long each configuration is measured, and on what. The clip is read again from its start for every run.

    ``frames`` are those of each run, instead of ``seconds``.
    """

    runs: Annotated[int, Field(ge=1, le=100)] = 20
    frames: Annotated[int, Field(ge=10, le=100_000)] | None = None
    seconds: Annotated[float, Field(gt=0, le=3600)] = 60.0
    """Of the clip at its own pace, for each run: at 10 frames a second 60 are 600 frames."""
    clip: ClipName | None = None
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
    long_sides: Annotated[tuple[LongSide, ...], Field(min_length=1, max_length=8)] | None = None
    """Input sizes, in pixels; None is the one that runs."""
    detectors: Annotated[tuple[DeviceText, ...], Field(min_length=1, max_length=16)] | None = None
    """Where the detector of a network of two stages runs; None is the device of each row."""
    hints: Annotated[tuple[HintName, ...], Field(min_length=1, max_length=2)] = ("throughput",)
    baseline_runs: Annotated[int, Field(ge=0, le=100)] = 10
    """Runs of the original model; 0 leaves it out."""
    apply: Aim | None = None
    """Switch to the winner at the end."""
    max_accuracy_loss: Annotated[float, Field(ge=0, le=1)] | None = None
    """People the winner may miss, as a fraction; None is the configured bar."""


class Tune(Args):
    """Find what to run on this box for a wish, on frames it looks at; what is left out of the wish may be anything."""

    fps: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Frames a second; None is the rate of what it looks at."""
    age_ms: Annotated[float, Field(gt=0, le=60_000)] | None = None
    """From a frame's arrival to its message, of 95 frames in 100."""
    cpu_percent: Annotated[float, Field(gt=0, le=25_600)] | None = None
    """Of the agent's process; 100 is one core."""
    models: Annotated[tuple[ModelName, ...], Field(min_length=1, max_length=16)] | None = None
    """None is every network that is ready on the box."""
    devices: Annotated[tuple[DeviceText, ...], Field(min_length=1, max_length=16)] | None = None
    """None is every device of the box by itself."""
    precisions: Annotated[tuple[PrecisionName, ...], Field(min_length=1, max_length=3)] = ("FP32", "FP16", "INT8")
    """Those that a network has."""
    hints: Annotated[tuple[HintName, ...], Field(min_length=1, max_length=2)] = ("latency", "throughput")
    long_sides: Annotated[tuple[LongSide, ...], Field(min_length=1, max_length=8)] | None = None
    """Input sizes, in pixels; None is 256 to 640 as far as the picture is that large."""
    reference: ModelName | None = None
    """The network that the others are compared with; None is the one that computes most."""
    frames: Annotated[int, Field(ge=10, le=1000)] = 100
    """That each configuration looks at."""
    seconds: Annotated[float, Field(ge=10, le=7200)] = 900.0
    """When the time is over, what was found until then decides."""
    clip: ClipName | None = None
    """An installed clip. None is the configured source where it is a file, else a clip recorded from the camera."""
    apply: bool = False
    """Switch to the winner at the end."""


class Fetch(Args):
    """Bring a network of the catalogue to the box, from where the catalogue says and by its checksums."""

    name: ModelName


class Logs(Args):
    """The last lines of the log since the agent started."""

    lines: Annotated[int, Field(ge=1, le=LOG_LINES_MAX)] = 200


class Cancel(Args):
    """The id of a job, or of a command that waits or is being carried out."""

    id: Annotated[str, Field(min_length=1, max_length=128)]


AnyArgs = (
    NoArgs
    | SetDevice
    | SetPrecision
    | SetModel
    | SetAffinity
    | PlanAffinity
    | SetHint
    | SetInput
    | SetZones
    | SetSettings
    | UnsetSettings
    | GetSettings
    | SetPaused
    | Benchmark
    | Sweep
    | Tune
    | Quantize
    | Fetch
    | Logs
    | Cancel
)

ARGS: dict[str, type[AnyArgs]] = {
    "set-device": SetDevice,
    "set-precision": SetPrecision,
    "set-model": SetModel,
    "set-affinity": SetAffinity,
    "set-hint": SetHint,
    "set-input": SetInput,
    "plan-affinity": PlanAffinity,
    "set-zones": SetZones,
    "set-paused": SetPaused,
    "set": SetSettings,
    "unset": UnsetSettings,
    "get": GetSettings,
    "restart": NoArgs,
    "pause": NoArgs,
    "resume": NoArgs,
    "snapshot": NoArgs,
    "describe": NoArgs,
    "check": NoArgs,
    "logs": Logs,
    "benchmark": Benchmark,
    "sweep": Sweep,
    "tune": Tune,
    "quantize": Quantize,
    "fetch": Fetch,
    "jobs": NoArgs,
    "cancel": Cancel,
}
"""Every command, and what it takes."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A command as it came off the broker; ``expiry_s`` is what is left of the Message Expiry Interval."""

    topic: str
    payload: bytes
    retained: bool
    received_at: datetime
    response_topic: str | None = None
    correlation: bytes | None = None
    expiry_s: int | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """Where a reply goes."""

    topic: str
    correlation: bytes | None = None


@dataclass(frozen=True, slots=True)
class Proof:
    """Who has signed a command.

    ``key`` is the name of the key, which says nothing of the key itself; ``sequence`` is higher than that of every
    earlier command under it.
    """

    key: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Command:
    """A well-formed command; ``proof`` is of one that is signed, until its sequence has been kept."""

    name: str
    id: str
    args: AnyArgs
    reply_to: Address
    expires_at: datetime | None = None
    if_version: int | None = None
    proof: Proof | None = None
    key: str | None = None
    """Of a signed one whose sequence has been kept, the name of its key."""

    @property
    def by(self) -> str:
        """Who asked: the client that the topic of its replies names, and the key it signed with."""
        client = self.reply_to.topic.rpartition("/")[2]
        key = self.key or (self.proof.key if self.proof else None)
        return client if key is None else f"{client}, key {key}"


class ReplyStatus(StrEnum):
    """How a command ended; `accepted` when a job goes on."""

    ACCEPTED = "accepted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"


class ReplyError(Part):
    """What went wrong, and the cure."""

    code: ErrorCode
    message: str
    hint: str = ""


class Reply(Message):
    """The answer to a command; of one that takes time an event with its id among the facts comes first."""

    schema_: Literal["edgepose.reply/1"] = Field(default="edgepose.reply/1", alias="schema")

    id: str
    command: str
    status: ReplyStatus
    error: ReplyError | None = None
    result: dict[str, JsonValue] | None = None
    state_version: int

    def shortened(self, packet_bytes: int, limit_bytes: int | None) -> Self | None:
        """What is said in place of a reply that the broker does not take; None where it is as short already.

        What was done stays done: only of a command that asks nothing is left of its success.
        """
        if self.error is not None and self.result is None:
            error = self.error.model_copy(update={"message": self.error.message[:SHORT_CHARACTERS], "hint": ""})
            return None if error == self.error else self.model_copy(update={"error": error})
        limit = f"of {limit_bytes}" if limit_bytes is not None else "it does not tell"
        told = f"the answer of {packet_bytes} bytes is above the broker's limit {limit}"
        asked = self.command in ASKING and self.status is ReplyStatus.SUCCEEDED
        error = ReplyError(code=ErrorCode.TOO_LARGE, message=told, hint="raise its maximum packet size")
        status = ReplyStatus.FAILED if asked else self.status
        return self.model_copy(update={"status": status, "error": error, "result": None})


class Finding(Part):
    """What one check of `agent doctor` found; ``cure`` is empty where nothing needs doing."""

    name: str
    level: Literal["ok", "warn", "fail"]
    finding: str
    cure: str = ""


class CheckResult(Part):
    """What `check` answers."""

    checks: tuple[Finding, ...]


class LogsResult(Part):
    """What `logs` answers: lines of the log, the newest last, without passwords and accounts."""

    lines: tuple[str, ...]


class Fetched(Part):
    """The result of the job `fetch`: what is ready now, and by which checksums its files were taken."""

    model: ModelName
    fetched: bool
    """False where all was there, and is undamaged."""
    precisions: tuple[PrecisionName, ...]
    licence: str
    checksums: dict[str, str]
    """Of the files it was made of, by name."""


class Pace(Part):
    """How fast the agent was, over the last seconds; None where no frame came.

    ``latency`` is the mean of inference in milliseconds.
    """

    fps: float | None
    latency: float | None


class Agreement(Part):
    """How well the people found agree with those FP32 finds on the same frames."""

    frames: int
    people: int
    """Whom FP32 finds at score 0.3 or more."""
    missed: int
    """Of those, whom the other does not find at score 0.2 or more with an OKS of 0.5 or more."""
    invented: int
    mean_oks: float | None
    """Of those it found; None without any."""


KEEPS_UP: Final = "keeps up"
"""The verdict on an engine that finishes what its camera gives."""


class SwitchResult(Part):
    """What a switch brought."""

    requested: Requested
    effective: Effective
    compile_ms: float
    first_infer_ms: float
    gap_ms: float | None
    """Between the last result of the old engine and the first of the new one; None where no frame came."""
    frames_lost: int
    """Frames dropped between those two results."""
    before: Pace
    after: Pace
    camera_fps: float | None = None
    """Frames the camera gave meanwhile; None where none came, and where a file waits for whoever reads it."""
    verdict: str | None = None
    """``keeps up``, or ``falls behind: 0.2 of 10 fps``; None where there was no camera to keep up with."""
    agreement: Agreement | None = None
    """With FP32 on the processor; None where that is what runs, and where no frame was there to compare on."""
    plan: dict[str, JsonValue] | None = None
    """The plan of a HETERO affinity, without its picture."""


class JobStatus(StrEnum):
    """Where a job stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Job(Message):
    """Progress and result of something long."""

    schema_: Literal["edgepose.job/1"] = Field(default="edgepose.job/1", alias="schema")

    FINAL: ClassVar = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED})

    id: str
    command: str
    status: JobStatus
    step: str
    """What it is doing, for people."""
    progress: Annotated[float, Field(ge=0, le=1)]
    started_at: Timestamp
    finished_at: Timestamp | None = None
    error: ReplyError | None = None
    result: dict[str, JsonValue] | None = None
