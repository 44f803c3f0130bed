"""The configuration: one tree of small models, read from TOML, overridden by ``EDGEPOSE_*`` variables.

``EDGEPOSE_MQTT__PORT=1884`` sets ``mqtt.port``; two underscores step into a table.
"""

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from platformdirs import PlatformDirs
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from agent.errors import ConfigError
from agent.wire.topics import DEFAULT_PREFIX, DEVICE_ID

ENV_PREFIX = "EDGEPOSE_"
# Variables of the same prefix that belong to other programs of the project.
FOREIGN_VARIABLES = frozenset({"EDGEPOSE_BROKER", "EDGEPOSE_CONFIG"})

Precision = Literal["FP32", "FP16", "INT8"]
PositiveSeconds = Annotated[float, Field(gt=0, le=3600)]


class Table(BaseModel):
    """A table of the file: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Tls(Table):
    """Transport security of the broker connection."""

    enabled: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together: set both or neither")
        return self


class Mqtt(Table):
    """The broker."""

    host: str = "localhost"
    port: int = Field(default=1883, ge=1, le=65535)
    prefix: str = Field(default=DEFAULT_PREFIX, pattern=r"^[^#+\s]+$")
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    keepalive_s: int = Field(default=10, ge=2, le=600)
    tls: Tls = Tls()

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if self.password is not None and self.password_file is not None:
            raise ValueError("password and password_file exclude each other: set one")
        if (self.password or self.password_file) and self.username is None:
            raise ValueError("a password needs a username")
        return self


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


class Camera(Table):
    """Where frames come from."""

    source: str = "/dev/video0"
    """A V4L2 device, an rtsp:// or http:// address, a video file, a folder of images, or clip:NAME."""
    pace: Literal["native", "fast"] = "native"
    """Files and folders: at their own frame rate, or as fast as they can be processed."""
    loop: bool = False
    lossless: bool = False
    """Files and folders: process every frame, however long it takes."""
    folder_fps: float = Field(default=10.0, gt=0, le=1000)
    fps_max: float | None = Field(default=None, gt=0, le=1000)
    width: int | None = Field(default=None, ge=16, le=16384)
    height: int | None = Field(default=None, ge=16, le=16384)
    rotate: Literal[0, 90, 180, 270] = 0
    roi: Roi = Roi()
    open_timeout_s: PositiveSeconds = 5.0
    read_timeout_s: PositiveSeconds = 2.0
    frozen_after_s: PositiveSeconds | None = 10.0


class InputSize(Table):
    """Input of the network: the long side (the short one follows the camera), or both sides."""

    long_side: int | None = Field(default=None, ge=32, le=4096)
    height: int | None = Field(default=None, ge=32, le=4096)
    width: int | None = Field(default=None, ge=32, le=4096)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.height is None) != (self.width is None):
            raise ValueError("height and width go together: set both, or long_side alone")
        if self.long_side is not None and self.height is not None:
            raise ValueError("long_side excludes height and width: set one or the other")
        return self


class Model(Table):
    """The network."""

    name: str = "movenet-multipose"
    input: InputSize = InputSize()
    person_score_min: float = Field(default=0.2, ge=0, le=1)
    persons_max: int = Field(default=20, ge=1, le=200)


class Inference(Table):
    """Where and how the network runs."""

    device: str = "AUTO"
    precision: Precision = "FP32"
    hint: Literal["latency", "throughput"] = "latency"
    streams: int | None = Field(default=None, ge=1, le=256)
    requests: int | None = Field(default=None, ge=1, le=256)
    threads: int | None = Field(default=None, ge=1, le=1024)
    cache: bool = True


class Devices(Table):
    """Names for devices."""

    aliases: dict[str, str] = Field(default_factory=dict)


class Output(Table):
    """What is drawn. Nothing is, unless a file is named."""

    video_file: Path | None = None
    video_fps: float | None = Field(default=None, gt=0, le=1000)


class MetricsTable(Table):
    """The periodic summary."""

    window_s: float = Field(default=5.0, ge=0.5, le=600)


def _dirs() -> PlatformDirs:
    return PlatformDirs("edgepose", appauthor=False)


class Paths(Table):
    """Folders. systemd names them in STATE_DIRECTORY and CACHE_DIRECTORY; on a desktop they follow XDG."""

    models: Path = Field(default_factory=lambda: models_dir())
    cache: Path = Field(default_factory=lambda: cache_dir())


def models_dir() -> Path:
    """Where networks and clips are kept."""
    if state := os.environ.get("STATE_DIRECTORY"):
        return Path(state.split(":")[0]) / "models"
    return Path(_dirs().user_cache_dir) / "models"


def cache_dir() -> Path:
    """Where compiled networks are kept: everything in it can be made again."""
    if cache := os.environ.get("CACHE_DIRECTORY"):
        return Path(cache.split(":")[0]) / "compiled"
    return Path(_dirs().user_cache_dir) / "compiled"


class Log(Table):
    """Logging."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


class Config(BaseSettings):
    """The whole configuration of one agent."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=ENV_PREFIX, env_nested_delimiter="__", protected_namespaces=()
    )

    device_id: str = Field(pattern=f"^{DEVICE_ID.pattern}$")
    groups: tuple[Annotated[str, Field(pattern=f"^{DEVICE_ID.pattern}$")], ...] = ()
    mqtt: Mqtt = Mqtt()
    camera: Camera = Camera()
    model: Model = Model()
    inference: Inference = Inference()
    devices: Devices = Devices()
    output: Output = Output()
    metrics: MetricsTable = MetricsTable()
    paths: Paths = Field(default_factory=Paths)
    log: Log = Log()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file."""
        return EnvSettingsSource(settings_cls), init_settings
