"""Builds the messages that say what the agent is and does."""

import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final, Literal

from agent import __version__
from agent.capture.address import redact
from agent.capture.frame import CaptureCounts
from agent.config.tree import Config
from agent.control.settings import Settings
from agent.inference.network import Network
from agent.observe.host import HostFigures, host_info
from agent.observe.telemetry import Summary
from agent.poses.skeleton import JOINTS, LIMBS
from agent.tracking.zones import Occupancy, ZoneFigures
from agent.wire.commands import ARGS
from agent.wire.messages import (
    CameraState,
    CameraStatus,
    Changed,
    DeviceInfo,
    Effective,
    Event,
    Fitted,
    Info,
    InputState,
    Metrics,
    ModelInfo,
    Requested,
    Severity,
    State,
    Status,
    ZoneMessage,
)
from agent.wire.zones import Zones
from models.shelf.catalogue import Precision

INSTANCE: Final = uuid.uuid4().hex[:12]
"""Of this run of the agent."""
ID_TAKEN: Final = "another agent seems to have this device_id"
"""How the state's last error begins then; `agent doctor` looks for it."""


def info_message(config: Config, devices: tuple[DeviceInfo, ...], models: Mapping[str, tuple[Precision, ...]]) -> Info:
    """The birth message."""
    return Info(
        device_id=config.device_id,
        sent_at=datetime.now(UTC),
        agent_version=__version__,
        openvino_version=version("openvino"),
        host=host_info(),
        devices=devices,
        models=tuple(ModelInfo(name=name, precisions=precisions) for name, precisions in models.items()),
        commands=tuple(ARGS),
        groups=config.groups,
        joints=JOINTS,
        bones=LIMBS,
        instance=INSTANCE,
    )


@dataclass(slots=True)
class Standing:
    """What the state message tells; the supervisor changes it and announces it again."""

    config: Config
    version: int = 0
    requested: Requested | None = None
    """What is asked for; None is what the configuration asks for."""
    status: Status = Status.STARTING
    camera: CameraStatus = "opening"
    camera_cause: str | None = None
    camera_since: datetime = field(default_factory=lambda: datetime.now(UTC))
    engine: Network | None = None
    fitted: Fitted | None = None
    """Why input, precision and hint are what they are, where that was measured."""
    last_error: str | None = None
    last_frame_at: datetime | None = None
    zones: Zones = field(default_factory=dict)
    settings: dict[str, str | int | float | bool | None] = field(default_factory=dict)
    changed: Changed | None = None
    since: datetime = field(default_factory=lambda: datetime.now(UTC))

    def become(self, status: Status) -> None:
        """Take on a status; ``since`` moves only when it is another one."""
        if status != self.status:
            self.status = status
            self.since = datetime.now(UTC)

    def see(self, camera: CameraStatus, cause: str | None = None) -> None:
        """Take on a status of the camera, and why it is lost; since when moves only when it is another one."""
        if camera != self.camera:
            self.camera_since = datetime.now(UTC)
        self.camera, self.camera_cause = camera, cause

    def message(self) -> State:
        """The state message."""
        return State(
            device_id=self.config.device_id,
            sent_at=datetime.now(UTC),
            version=self.version,
            status=self.status,
            requested=self.requested or Settings.of(self.config).requested(),
            effective=effective(self.engine) if self.engine else None,
            input=self._input(),
            camera=CameraState(
                status=self.camera,
                source=redact(self.config.camera.source),
                last_frame_at=self.last_frame_at,
                cause=self.camera_cause,
                since=self.camera_since,
            ),
            last_error=self.last_error,
            zones=self.zones,
            settings=self.settings,
            since=self.since,
            changed=self.changed,
            instance=INSTANCE,
        )

    def _input(self) -> InputState | None:
        if self.engine is None:
            return None
        spec = self.engine.spec
        fitted = self.fitted is not None and "input" in self.fitted.chosen
        chosen_by = "configuration" if fitted else _chosen_by(self.config, self.requested)
        return InputState(width=spec.width, height=spec.height, chosen_by=chosen_by, fitted=self.fitted)


def _chosen_by(config: Config, requested: Requested | None) -> Literal["command", "configuration", "network"]:
    if requested is not None and requested.long_side is not None:
        return "command"
    size = config.model.input
    return "network" if size.long_side is None and size.height is None else "configuration"


def effective(engine: Network) -> Effective:
    """What OpenVINO reports of an engine, as it is told."""
    figures = {name: value for name, value in rounded(asdict(engine.facts)).items() if name != "plan"}
    return Effective(**figures, engine=engine.generation)


def rounded(figures: dict[str, Any]) -> dict[str, Any]:
    """Figures with three decimals: microseconds where they are milliseconds, and no noise behind them."""
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in figures.items()}


def metrics_message(
    config: Config,
    engine: Network,
    summary: Summary,
    frames: CaptureCounts,
    host: HostFigures,
    zones: Mapping[str, ZoneFigures],
) -> Metrics:
    """The periodic summary. ``frames`` are those of the window alone."""
    return Metrics.model_validate(
        {
            "device_id": config.device_id,
            "sent_at": datetime.now(UTC),
            "window_s": round(summary.window_s, 3),
            **rounded(summary.figures),
            "frames_captured": frames.captured,
            "frames_processed": summary.frames_processed,
            "frames_dropped": frames.dropped,
            "frames_damaged": frames.damaged,
            "persons_mean": summary.persons_mean and round(summary.persons_mean, 3),
            "persons_max": summary.persons_max,
            "device": engine.spec.device,
            "execution_devices": ",".join(engine.facts.execution_devices),
            "precision": engine.spec.precision,
            "model": engine.spec.model,
            "engine": engine.generation,
            **rounded(asdict(host)),
            "zones": {name: asdict(figures) for name, figures in zones.items()},
            "instance": INSTANCE,
        }
    )


def zone_message(config: Config, name: str, occupancy: Occupancy, since: datetime | None) -> ZoneMessage:
    """Who is in a zone, and since when it has not been empty."""
    return ZoneMessage(
        device_id=config.device_id,
        sent_at=datetime.now(UTC),
        zone=name,
        persons=occupancy.persons,
        ids=occupancy.ids,
        occupied_since=since,
    )


def event_message(
    config: Config, code: str, severity: Severity, message: str, facts: dict[str, str | int | float | bool | None]
) -> Event:
    """Something that happened."""
    return Event(
        device_id=config.device_id,
        sent_at=datetime.now(UTC),
        code=code,
        severity=severity,
        message=message,
        facts=facts,
    )
