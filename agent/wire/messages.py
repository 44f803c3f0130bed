"""Messages of the wire, version 1: strict in what is sent, liberal in what is read.

A message that is made must have the fields of the contract and no other, and only numbers JSON knows. One that is read
may carry keys of a newer minor version; they are ignored.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import AwareDatetime, Field, JsonValue, PlainSerializer, ValidationError

from agent.wire.part import Part
from agent.wire.wording import in_words
from agent.wire.zones import Zones

CONTRACT_VERSION = 1
MAX_MESSAGE_BYTES = 1 << 20

ONLINE = b"online"
OFFLINE = b"offline"


def rfc3339(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds: ``2026-01-31T06:30:00.125Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Timestamp = Annotated[AwareDatetime, PlainSerializer(rfc3339, when_used="json")]


class MessageError(ValueError):
    """A payload is not the message its topic promises. ``reason`` is one line that names the first fault."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Message(Part):
    """What every JSON message carries, beside the ``schema`` that names its kind."""

    device_id: str
    sent_at: Timestamp

    def encode(self) -> bytes:
        """UTF-8 JSON."""
        return self.model_dump_json(by_alias=True).encode()

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Parse and validate, ignoring unknown keys; any fault raises :class:`MessageError` and nothing else."""
        if len(payload) > MAX_MESSAGE_BYTES:
            raise MessageError(f"payload of {len(payload)} bytes; at most {MAX_MESSAGE_BYTES} are accepted")
        try:
            return cls.model_validate_json(payload, extra="ignore")
        except ValidationError as error:
            raise MessageError(in_words(error, "body")) from None


class DeviceInfo(Part):
    """One inference device of the box."""

    name: str
    full_name: str
    capabilities: tuple[str, ...]


class ModelInfo(Part):
    """One network that is ready on the box."""

    name: str
    precisions: tuple[str, ...]


class HostInfo(Part):
    """The box itself."""

    hostname: str
    os: str
    cpu: str
    cores: int
    memory_mb: int
    cores_usable: float | None = None
    """Of those, what quota and affinity leave to the agent."""


class Info(Message):
    """Birth message: who the agent is and what it can do."""

    schema_: Literal["edgepose.info/1"] = Field(default="edgepose.info/1", alias="schema")

    agent_version: str
    contract_version: int = CONTRACT_VERSION
    openvino_version: str
    host: HostInfo
    devices: tuple[DeviceInfo, ...]
    models: tuple[ModelInfo, ...]
    commands: tuple[str, ...]
    groups: tuple[str, ...] = ()
    joints: tuple[str, ...] = ()
    """Names of the joints in the order in which keypoints have them."""
    bones: tuple[tuple[int, int], ...] = ()
    """Pairs of them that a drawing joins."""
    instance: str | None = None
    """Another one at each start: it tells messages of this run from those of another."""


class Status(StrEnum):
    """What the agent is doing."""

    STARTING = "starting"
    RUNNING = "running"
    SWITCHING = "switching"
    BENCHMARKING = "benchmarking"
    PAUSED = "paused"
    CAMERA_LOST = "camera_lost"
    DEGRADED = "degraded"
    FAILED = "failed"
    STOPPING = "stopping"


class Requested(Part):
    """What was asked for."""

    model: str
    device: str
    precision: str
    affinity: dict[str, JsonValue] | None = None
    """See :class:`agent.wire.affinity.Affinity`; None is OpenVINO's own placement."""
    hint: str | None = None
    streams: int | None = None
    requests: int | None = None
    long_side: int | None = None
    """Of the network's input, pixels; None is what the configuration says of it."""
    detector: str | None = Field(default=None, exclude_if=lambda device: device is None)
    """Device of the first of two stages; left out where it runs on that of the second."""


class Fitted(Part):
    """What was measured of what was chosen to fit the camera, beside the engine that ran then."""

    device: str
    precision: str
    hint: str | None = Field(default=None, exclude_if=lambda hint: hint is None)
    chosen: tuple[str, ...] = ("input",)
    """What was chosen: of `input`, its size, `precision` and `hint` those that nobody had named."""
    tried: int | None = Field(default=None, exclude_if=lambda tried: tried is None)
    """Of how many configurations."""
    age_ms_max: float
    """How old a result may be, as the configuration says."""
    camera_fps: float
    fps: float
    """At full speed."""
    age_ms_p95: float
    """At the camera's pace."""
    cpu_ms: float | None = Field(default=None, exclude_if=lambda cpu_ms: cpu_ms is None)
    """Processor time of a frame, at the camera's pace."""


class InputState(Part):
    """What the network sees the picture at, and who wants it so."""

    width: int
    height: int
    chosen_by: Literal["command", "configuration", "network"]
    fitted: Fitted | None = Field(default=None, exclude_if=lambda fitted: fitted is None)
    """Why it is as large, and what else was chosen, where the configuration leaves that to a measurement."""


class Effective(Part):
    """What OpenVINO reports to be running."""

    execution_devices: tuple[str, ...]
    model_precision: str
    inference_precision: str
    submodels: int | None
    infer_requests: int
    streams: int | None = None
    """In which the devices compute, added up; None where they do not say."""
    threads: int | None = None
    """With which the processor computes; None where it does not."""
    compile_ms: float
    first_infer_ms: float
    from_cache: bool
    engine: int


CameraStatus = Literal["opening", "live", "lost", "ended"]


class CameraState(Part):
    """Where frames come from; ``source`` never holds a password."""

    status: CameraStatus
    source: str
    last_frame_at: Timestamp | None = None
    cause: str | None = None
    """Why it is lost, while it is."""
    since: Timestamp | None = None
    """When it came to be as it is."""


class Changed(Part):
    """The last change that a command made: which, who asked for it, and when it was done.

    A client is named as the topic of its replies names it, with the key where it signed.
    """

    command: str
    by: str
    at: Timestamp


class State(Message):
    """What runs now."""

    schema_: Literal["edgepose.state/1"] = Field(default="edgepose.state/1", alias="schema")

    version: int = Field(ge=0)
    status: Status
    requested: Requested
    effective: Effective | None
    input: InputState | None = None
    """None until an engine runs."""
    camera: CameraState
    last_error: str | None = None
    zones: Zones = Field(default_factory=dict)
    """What the agent counts people in, and where it looks away."""
    settings: dict[str, str | int | float | bool | None] = Field(default_factory=dict)
    """Keys that commands have put another value to than the configuration; None is left open."""
    since: Timestamp
    changed: Changed | None = None
    instance: str | None = None


class FrameSize(Part):
    """Pixels of the frame as it was taken, turned upright."""

    width: int
    height: int


class Person(Part):
    """One person: pixels of the frame, turned upright, COCO-17 joints flat as x, y, score."""

    id: int
    score: float
    bbox: tuple[float, float, float, float]
    keypoints: tuple[float, ...] = Field(min_length=51, max_length=51)
    feet: tuple[float, ...] | None = Field(
        default=None, min_length=18, max_length=18, exclude_if=lambda feet: feet is None
    )
    """Big toes, small toes and heels, left before right, flat as the joints; only where the network looks for them."""


class Keypoints(Message):
    """Everybody seen in one frame."""

    schema_: Literal["edgepose.keypoints/1"] = Field(default="edgepose.keypoints/1", alias="schema")

    seq: int = Field(ge=0)
    captured_at: Timestamp
    age_ms: float
    engine: int
    model: str
    frame: FrameSize
    persons: tuple[Person, ...]


class ZonePersons(Part):
    """People in a zone over the window."""

    persons_mean: float | None
    persons_max: int | None


class Metrics(Message):
    """Summary of one window. A number the machine cannot tell, or that no frame gave, is null."""

    schema_: Literal["edgepose.metrics/1"] = Field(default="edgepose.metrics/1", alias="schema")

    window_s: float
    fps_mean: float | None
    fps_min: float | None
    fps_max: float | None
    latency_ms_mean: float | None
    latency_ms_min: float | None
    latency_ms_max: float | None
    latency_ms_p50: float | None
    latency_ms_p95: float | None
    latency_ms_p99: float | None
    age_ms_p50: float | None
    age_ms_p95: float | None
    age_ms_p99: float | None
    stage_capture_ms_mean: float | None
    stage_prepare_ms_mean: float | None
    stage_infer_ms_mean: float | None
    stage_decode_ms_mean: float | None
    stage_track_ms_mean: float | None
    stage_publish_ms_mean: float | None
    stage_detect_ms_mean: float | None = None
    """Of infer, of a network of two stages: the detector's, over all frames, also those it does not look at."""
    stage_pose_ms_mean: float | None = None
    """Of infer, of a network of two stages: everybody's poses."""
    frames_captured: int
    frames_processed: int
    frames_dropped: int
    frames_damaged: int = 0
    """Pictures that could not be decoded; no frame was made of them."""
    persons_mean: float | None
    persons_max: int | None
    device: str
    execution_devices: str
    precision: str
    model: str
    engine: int
    cpu_percent: float | None
    rss_mb: float | None
    temperature_c: float | None
    gpu_busy_percent: float | None
    npu_busy_percent: float | None = None
    zones: dict[str, ZonePersons] = Field(default_factory=dict)
    """People in each zone; a mask is none."""
    instance: str | None = None


class ZoneMessage(Message):
    """Who is in a zone; told when that changes, and with every summary."""

    schema_: Literal["edgepose.zone/1"] = Field(default="edgepose.zone/1", alias="schema")

    zone: str
    persons: int | None
    """None while nobody looks: paused, or the camera is lost."""
    ids: tuple[int, ...] = ()
    """Of those who are in it; empty where people are not tracked."""
    occupied_since: Timestamp | None = None
    """Since when it has not been empty; None while it is."""


class Severity(StrEnum):
    """How much an event matters to whoever reads it in the morning."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


EVENT_CODES: Final = (
    "agent.started",
    "agent.failed",
    "camera.opened",
    "camera.lost",
    "camera.changed",
    "camera.damaged",
    "camera.software",
    "camera.frozen",
    "camera.back",
    "command.accepted",
    "switch.started",
    "switch.progress",
    "switch.done",
    "switch.failed",
    "input.fitted",
    "engine.failed",
    "engine.hung",
    "engine.back",
    "engine.degraded",
    "video.failed",
    "broker.dropped",
    "broker.taken_over",
    "clock.jumped",
    "job.started",
    "job.done",
    "job.cancelled",
    "job.failed",
    "agent.paused",
    "agent.resumed",
    "zones.changed",
    "settings.changed",
    "settings.reset",
    "agent.restarting",
    "zone.entered",
    "zone.left",
    "zone.dwell",
    "state.not_saved",
    "state.damaged",
    "state.reset",
)
"""What an event may be called; a newer agent has more."""


class Event(Message):
    """Something happened: ``camera.lost``, ``camera.back``, ``engine.degraded``, ..."""

    schema_: Literal["edgepose.event/1"] = Field(default="edgepose.event/1", alias="schema")

    code: str
    severity: Severity
    message: str
    facts: dict[str, str | int | float | bool | None] = Field(default_factory=dict)
