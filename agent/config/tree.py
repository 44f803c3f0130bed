"""The configuration: one tree of small models. :mod:`agent.config.file` fills it from TOML and the environment.

``configs/agent.toml`` lists every key with its default and what it does.
"""

import hashlib
import os
import re
import socket
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from platformdirs import PlatformDirs
from pydantic import BaseModel, ConfigDict, Field, model_validator

from agent.config.types import (
    AnyCase,
    Count,
    DeviceId,
    EmptyIsNone,
    ExistingFile,
    FourCc,
    FramesPerSecond,
    Host,
    HostAddress,
    InputPixels,
    Milliseconds,
    NewFile,
    Password,
    Pixels,
    PositiveSeconds,
    ReplyFilter,
    Share,
    TopicPrefix,
    Username,
    ZeroIsNone,
    empty_is,
)
from agent.wire.topics import DEFAULT_PREFIX
from agent.wire.zones import Zones
from models.shelf.catalogue import Precision
from models.shelf.store import models_dir

GENERIC_HOSTS: Final = frozenset(
    {"", "localhost", "debian", "ubuntu", "fedora", "raspberrypi", "orangepi", "box", "edge", "nuc", "pc", "none"}
)
"""Names that installers give: no box is told from another by them."""


def host_id() -> str:
    """Turn the host name into a device id: ``hall.lan`` becomes ``hall``.

    Where the name says less than its host (``体育館`` has no letter an id may have, ``Edge_Box`` and ``edge-box`` have
    the same) or many boxes have it, digits of the machine's own id follow: ``edge-box-3f09c2``.
    """
    label = socket.gethostname().split(".")[0].lower()
    name = re.sub(r"[^a-z0-9]+", "-", label).strip("-")
    if name == label and len(name) <= 63 and name not in GENERIC_HOSTS:
        return name
    return f"{name[:56].strip('-') or 'box'}-{machine_digits()}"


def machine_digits() -> str:
    """Six digits that stay with this box, made from its machine id, which itself is nobody's business."""
    found = ""
    for file in MACHINE_IDS:
        with suppress(OSError, ValueError):
            found = found or file.read_text(encoding="ascii").strip()
    # Without one: the address of its network card, or what Python makes up in its place.
    return hashlib.sha256(f"edgepose {found or uuid.getnode()}".encode()).hexdigest()[:6]


def made_up(device_id: str) -> str | None:
    """What to say of an id that a host name alone could not give; None of one that is somebody's choice."""
    if device_id != host_id() or not device_id.endswith(f"-{machine_digits()}"):
        return None
    return f"device_id is not set, and the host name {socket.gethostname()!r} gives no id of its own: it is {device_id}"


MACHINE_IDS: Final = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))


class Table(BaseModel):
    """A table of the file: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Tls(Table):
    """Transport security of the broker connection."""

    enabled: bool = False
    ca_file: Annotated[ExistingFile | None, EmptyIsNone] = None
    cert_file: Annotated[ExistingFile | None, EmptyIsNone] = None
    key_file: Annotated[ExistingFile | None, EmptyIsNone] = None

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together: set both or neither")
        return self


class Mqtt(Table):
    """The broker."""

    host: Host = Field(default="localhost", description="a host name or address alone, without scheme, user or port")
    port: int = Field(default=1883, ge=1, le=65535)
    transport: Literal["tcp", "websockets"] = "tcp"
    websocket_path: str = Field(default="/mqtt", pattern=r"^/[^\s#]*$", description='a path such as "/mqtt"')
    prefix: TopicPrefix = Field(
        default=DEFAULT_PREFIX,
        description='a topic prefix without "#", "+" or spaces, no empty level, and no "$" at its start',
    )
    username: Annotated[Username | None, EmptyIsNone] = None
    password: Annotated[Password | None, EmptyIsNone] = None
    password_file: Annotated[ExistingFile | None, EmptyIsNone] = None
    keepalive_s: int = Field(default=10, ge=2, le=600)
    tls: Tls = Tls()

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if self.password is not None and self.password_file is not None:
            raise ValueError("password and password_file exclude each other: set one")
        if (self.password or self.password_file) and self.username is None:
            raise ValueError("a password needs a username")
        return self


class Commands(Table):
    """Whose commands are obeyed, and where the answers may go."""

    key_file: Annotated[ExistingFile | None, EmptyIsNone] = None
    require_signature: bool = True
    reply_topics: tuple[ReplyFilter, ...] = ("#",)


class Roi(Table):
    """Region of interest as fractions of the (rotated) frame."""

    x: float = Field(default=0.0, ge=0, lt=1)
    y: float = Field(default=0.0, ge=0, lt=1)
    width: float = Field(default=1.0, gt=0, le=1)
    height: float = Field(default=1.0, gt=0, le=1)

    @model_validator(mode="after")
    def _inside(self) -> Self:
        if self.x + self.width > 1 + 1e-9 or self.y + self.height > 1 + 1e-9:
            raise ValueError("the region reaches beyond the frame: x + width and y + height must be at most 1")
        return self


class CameraTls(Table):
    """Whom to believe that they are the camera, before a password is sent."""

    verify: bool = True
    ca_file: Annotated[ExistingFile | None, EmptyIsNone] = None


class Camera(Table):
    """Where frames come from."""

    source: str = Field(
        default="/dev/video0",
        min_length=1,
        description='a device such as "/dev/video0", an rtsp:// or http:// address, a video file, a folder of images, '
        'or "clip:NAME"',
    )
    pace: Literal["native", "fast"] = "native"
    """Files and folders: at their own frame rate, or as fast as they can be processed."""
    loop: bool = False
    lossless: bool = False
    """Files and folders: process every frame, however long it takes."""
    folder_fps: FramesPerSecond = 10.0
    fps_max: Annotated[FramesPerSecond | None, ZeroIsNone] = None
    fps: Annotated[FramesPerSecond | None, ZeroIsNone] = None
    """Asked of a V4L2 camera; how often a picture behind a web address is asked for."""
    width: Annotated[Pixels | None, ZeroIsNone] = None
    height: Annotated[Pixels | None, ZeroIsNone] = None
    format: Annotated[FourCc | None, EmptyIsNone] = None
    """Pixel format asked of a V4L2 camera; unset is MJPG where it has that."""
    controls: dict[str, int] = Field(default_factory=dict)
    """Of a V4L2 camera, such as ``exposure_time_absolute``, set in this order."""
    transport: Literal["auto", "tcp", "udp"] = "auto"
    """How RTSP sends pictures; auto is TCP, and UDP where the camera has no other."""
    decoder: Literal["software", "auto", "qsv"] = "software"
    """Who decodes video; auto is Intel's hardware (Quick Sync) where the box shows a graphics device, else software."""
    tls: CameraTls = CameraTls()
    rotate: Literal[0, 90, 180, 270] = 0
    roi: Roi = Roi()
    open_timeout_s: PositiveSeconds = 5.0
    read_timeout_s: PositiveSeconds = 2.0
    frozen_after_s: Annotated[PositiveSeconds | None, ZeroIsNone] = 10.0

    @property
    def live(self) -> bool:
        """A camera or stream, which runs at its own pace and has no end."""
        return "://" in self.source or self.source.startswith("/dev/") or self.source.isdigit()

    @property
    def at_full_speed(self) -> bool:
        """A file or folder without a pace: its next frame comes when it is asked for, and no result is late."""
        return self.pace == "fast" and not self.live

    @property
    def waits(self) -> bool:
        """A file or folder whose frames wait for whoever processes them, so that none is lost."""
        return self.lossless or self.at_full_speed

    @model_validator(mode="after")
    def _only_for_files(self) -> Self:
        for key in ("loop", "lossless"):
            if self.live and getattr(self, key):
                raise ValueError(f"{key} is for a video file, a folder or a clip; camera.source is a live camera")
        return self


class InputSize(Table):
    """Input of the network: the long side (the short one follows the camera), or both sides."""

    long_side: Annotated[InputPixels | None, ZeroIsNone] = None
    height: Annotated[InputPixels | None, ZeroIsNone] = None
    width: Annotated[InputPixels | None, ZeroIsNone] = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.height is None) != (self.width is None):
            raise ValueError("height and width go together: set both, or long_side alone")
        if self.long_side is not None and self.height is not None:
            raise ValueError("long_side excludes height and width: set one or the other")
        return self


class Model(Table):
    """The network."""

    name: str = Field(default="movenet-multipose", min_length=1)
    input: InputSize = InputSize()
    person_score_min: float = Field(default=0.2, ge=0, le=1)
    persons_max: int = Field(default=20, ge=1, le=200)
    fit_age_ms: Annotated[Milliseconds | None, ZeroIsNone] = None
    """Take what holds the camera's rate with results no older than this: of input, precision and hint those that nobody
    has named."""
    detect_every: Annotated[Count | None, ZeroIsNone] = None
    """Networks of two stages: the detector looks at every so many frames; unset follows what the box can do."""


class Inference(Table):
    """Where and how the network runs."""

    device: str = Field(default="AUTO", min_length=1)
    precision: Annotated[Precision, AnyCase] = "FP32"
    hint: Literal["latency", "throughput"] = "latency"
    streams: Annotated[Count | None, ZeroIsNone] = None
    requests: Annotated[Count | None, ZeroIsNone] = None
    threads: Annotated[Count | None, ZeroIsNone] = None
    cache: bool = True
    hang_timeout_s: PositiveSeconds = 8.0
    start_timeout_s: PositiveSeconds = 900.0


class Switch(Table):
    """Changing the engine while the agent runs."""

    timeout_s: PositiveSeconds = 120.0
    measure_s: float = Field(default=2.0, gt=0, le=60)
    min_fps_ratio: Annotated[Share | None, ZeroIsNone] = None
    good_after_s: PositiveSeconds = 60.0
    missed_max: float = Field(default=0.03, ge=0, le=1)
    oks_min: float = Field(default=0.85, ge=0, le=1)


class Benchmark(Table):
    """Measuring this box from a distance."""

    record_from_camera: bool = False


class Devices(Table):
    """Names for devices."""

    aliases: dict[str, str] = Field(default_factory=dict)


class Tracking(Table):
    """Ids that stay with people."""

    enabled: bool = True
    similarity_min: float = Field(default=0.2, gt=0, lt=1)
    birth_frames: int = Field(default=1, ge=1, le=100)
    keep_s: PositiveSeconds = 2.0


class Smoothing(Table):
    """Joints without jitter; only people who are tracked can be smoothed."""

    enabled: bool = True
    cutoff_hz: float = Field(default=0.2, gt=0, le=1000)
    speed_gain: float = Field(default=1.5, ge=0, le=1000)


class Output(Table):
    """What is drawn. Nothing is, unless a file is named or snapshots are allowed."""

    video_file: Annotated[NewFile | None, EmptyIsNone] = None
    video_fps: FramesPerSecond = 10.0
    blur: bool = False
    snapshots: bool = False


class MetricsTable(Table):
    """The periodic summary."""

    window_s: float = Field(default=5.0, ge=0.5, le=600)


class Prometheus(Table):
    """The same summary for Prometheus to scrape."""

    enabled: bool = False
    address: HostAddress = Field(
        default="127.0.0.1", pattern=r"^[^\s/]+$", description="an address of this box, without port"
    )
    port: int = Field(default=9464, ge=1, le=65535)


class HomeAssistant(Table):
    """The box as a device in Home Assistant, by its MQTT discovery."""

    enabled: bool = False
    prefix: TopicPrefix = Field(
        default="homeassistant",
        description='a topic prefix without "#", "+" or spaces, no empty level, and no "$" at its start',
    )


def cache_dir() -> Path:
    """Where compiled networks are kept: everything in it can be made again."""
    if cache := os.environ.get("CACHE_DIRECTORY"):
        return Path(cache.split(":")[0]) / "compiled"
    return Path(PlatformDirs("edgepose", appauthor=False).user_cache_dir) / "compiled"


def state_dir() -> Path:
    """Where what was asked of the agent is kept, so that it survives a restart."""
    if state := os.environ.get("STATE_DIRECTORY"):
        return Path(state.split(":")[0]) / "control"
    return Path(PlatformDirs("edgepose", appauthor=False).user_state_dir) / "control"


class Paths(Table):
    """Folders. systemd names them in STATE_DIRECTORY and CACHE_DIRECTORY; on a desktop they follow XDG."""

    models: Annotated[Path, empty_is(models_dir)] = Field(default_factory=models_dir)
    cache: Annotated[Path, empty_is(cache_dir)] = Field(default_factory=cache_dir)
    state: Annotated[Path, empty_is(state_dir)] = Field(default_factory=state_dir)


class Log(Table):
    """Logging."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


class Config(Table):
    """The whole configuration of one agent."""

    device_id: Annotated[DeviceId, empty_is(host_id)] = Field(default_factory=host_id)
    groups: tuple[DeviceId, ...] = ()
    mqtt: Mqtt = Mqtt()
    commands: Commands = Commands()
    camera: Camera = Camera()
    model: Model = Model()
    inference: Inference = Inference()
    switch: Switch = Switch()
    benchmark: Benchmark = Benchmark()
    devices: Devices = Devices()
    tracking: Tracking = Tracking()
    smoothing: Smoothing = Smoothing()
    zones: Zones = Field(default_factory=dict)
    output: Output = Output()
    metrics: MetricsTable = MetricsTable()
    prometheus: Prometheus = Prometheus()
    homeassistant: HomeAssistant = HomeAssistant()
    paths: Paths = Field(default_factory=Paths)
    log: Log = Log()

    @property
    def hint(self) -> Literal["latency", "throughput"]:
        """What is named; else the most frames of a file at full speed, and the soonest answer everywhere else."""
        named = "hint" in self.inference.model_fields_set
        return "throughput" if self.camera.at_full_speed and not named else self.inference.hint
