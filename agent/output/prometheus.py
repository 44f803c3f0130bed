"""What the agent is doing, and the figures of the metrics message, for Prometheus; off unless it is turned on.

Of the figures the last summary is served, so that a scrape costs nothing of a frame's time; the rest is as it is at the
moment of the scrape. docs/operations.md explains each metric.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from socketserver import BaseServer
from typing import Final, Self, get_args

import structlog
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, StateSetMetricFamily
from prometheus_client.registry import Collector

from agent import __version__
from agent.config.tree import Prometheus
from agent.inference.network import Network
from agent.link import Link, LinkStats
from agent.observe.telemetry import Telemetry
from agent.output.messages import Standing
from agent.wire.messages import CameraStatus, Metrics, Status
from agent.wire.strings import place

log = structlog.get_logger()

BOX: Final = ("device_id",)
ENGINE: Final = ("device_id", "model", "device", "precision")
MILLI: Final = 1e-3
PERCENT: Final = 1e-2
MEGA: Final = 2.0**20


@dataclass(frozen=True, slots=True)
class Gauge:
    """A figure as Prometheus names it: base units, and the labels of what it depends on."""

    name: str
    help: str
    labels: tuple[str, ...]
    fields: dict[str, str]
    """Value of the extra label, or nothing, to a field of the metrics message."""
    extra: str = ""
    """Name of the extra label."""
    factor: float = 1.0

    def family(self, metrics: Metrics) -> GaugeMetricFamily:
        """Its samples; a figure that is null has none."""
        family = GaugeMetricFamily(
            f"edgepose_{self.name}", self.help, labels=[*self.labels, *filter(None, [self.extra])]
        )
        for value, field in self.fields.items():
            if (figure := getattr(metrics, field)) is not None:
                family.add_metric([*_labels(metrics, self.labels), *filter(None, [value])], figure * self.factor)
        return family


def _quantiles(prefix: str) -> dict[str, str]:
    return {"0.5": f"{prefix}_p50", "0.95": f"{prefix}_p95", "0.99": f"{prefix}_p99"}


def _labels(metrics: Metrics, names: tuple[str, ...]) -> list[str]:
    return [str(getattr(metrics, name)) for name in names]


STAGES: Final = ("capture", "prepare", "infer", "detect", "pose", "decode", "track", "publish")
GAUGES: Final = (
    Gauge("frame_rate_hertz", "Frames finished a second, mean over the window", ENGINE, {"": "fps_mean"}),
    Gauge(
        "inference_latency_seconds",
        "Inference alone, quantiles over the frames of the window",
        ENGINE,
        _quantiles("latency_ms"),
        "quantile",
        MILLI,
    ),
    Gauge(
        "inference_latency_mean_seconds",
        "Inference alone, mean over the window",
        ENGINE,
        {"": "latency_ms_mean"},
        factor=MILLI,
    ),
    Gauge(
        "frame_age_seconds",
        "From a frame's arrival to the link, quantiles over the frames of the window",
        ENGINE,
        _quantiles("age_ms"),
        "quantile",
        MILLI,
    ),
    Gauge(
        "stage_mean_seconds",
        "Cost of a stage, mean over the window",
        ENGINE,
        {stage: f"stage_{stage}_ms_mean" for stage in STAGES},
        "stage",
        MILLI,
    ),
    Gauge("persons_mean", "People in a frame, mean over the window", BOX, {"": "persons_mean"}),
    Gauge("persons_max", "People in a frame, most in the window", BOX, {"": "persons_max"}),
    Gauge("engine_generation", "Number of the engine; grows by one with every switch", ENGINE, {"": "engine"}),
    Gauge("cpu_ratio", "Processor time of the agent; 1 is one core", BOX, {"": "cpu_percent"}, factor=PERCENT),
    Gauge("resident_memory_bytes", "Resident memory of the agent", BOX, {"": "rss_mb"}, factor=MEGA),
    Gauge("temperature_celsius", "Hottest reading of the processor", BOX, {"": "temperature_c"}),
    Gauge("gpu_busy_ratio", "Busiest engine of a graphics card", BOX, {"": "gpu_busy_percent"}, factor=PERCENT),
    Gauge("npu_busy_ratio", "Busiest neural processor", BOX, {"": "npu_busy_percent"}, factor=PERCENT),
    Gauge("window_seconds", "Length of the window the figures are of", BOX, {"": "window_s"}),
)
FRAMES: Final = {
    "captured": "Frames the source took",
    "processed": "Frames finished",
    "dropped": "Frames replaced before anybody read them",
    "damaged": "Pictures that could not be decoded",
}
SWITCHES: Final = {"switch.done": "succeeded", "switch.failed": "failed"}
"""Events that are counted, as they are called there."""


class Figures(Collector):
    """What the agent is doing now, the last summary, and what has been counted since the start."""

    def __init__(self, standing: Standing, telemetry: Telemetry, link: Link | None) -> None:
        self._standing = standing
        self._telemetry = telemetry
        self._link = link
        self._box = [standing.config.device_id]
        self._lock = threading.Lock()
        self._last: Metrics | None = None
        self._counted = dict.fromkeys(FRAMES, 0)
        self._switches = dict.fromkeys(SWITCHES.values(), 0)

    def take(self, metrics: Metrics) -> None:
        """Take the next summary."""
        with self._lock:
            self._last = metrics
            for name in FRAMES:
                self._counted[name] += getattr(metrics, f"frames_{name}")

    def happened(self, code: str) -> None:
        """Take note of an event."""
        if (outcome := SWITCHES.get(code)) is not None:
            with self._lock:
                self._switches[outcome] += 1

    def collect(self) -> Iterator[Metric]:
        """Everything there is; of the summary nothing before the first."""
        with self._lock:
            last, counted, switches = self._last, dict(self._counted), dict(self._switches)
        yield from self._doing()
        if self._link is not None:
            yield from self._connection(self._link.stats())
        outcomes: dict[tuple[str, ...], int] = {(outcome,): count for outcome, count in switches.items()}
        yield self._counter("switches", "Changes of the engine that were tried", outcomes, "outcome")
        if last is None:
            return
        yield from (gauge.family(last) for gauge in GAUGES)
        yield from self._zones(last)
        yield self._gauge("summary_timestamp_seconds", "When the figures were made", last.sent_at.timestamp())
        yield from (self._counter(f"frames_{name}", text, {(): counted[name]}) for name, text in FRAMES.items())

    def _doing(self) -> Iterator[Metric]:
        """What it is, what it does, and what it sees."""
        standing, last_s = self._standing, self._telemetry.last_frame_s
        yield self._gauge("agent_info", "The agent; always 1", 1, _versions())
        statuses = {each.value: each is standing.status for each in Status}
        yield self._states("status", "What the agent is doing", statuses)
        cameras = {each: each == standing.camera for each in get_args(CameraStatus)}
        yield self._states("camera_status", "Whether pictures come", cameras)
        age_s = None if last_s is None else time.perf_counter() - last_s
        yield self._gauge("last_frame_age_seconds", "Since the last frame was finished", age_s)
        if (engine := standing.engine) is not None:
            yield self._gauge("engine_info", "What runs; always 1", 1, _about(engine))

    def _zones(self, last: Metrics) -> Iterator[Metric]:
        """People in each zone; one in which nobody could be counted has no sample."""
        for field, text in (("persons_mean", "mean"), ("persons_max", "most")):
            help_ = f"People in a zone, {text} over the window"
            family = GaugeMetricFamily(f"edgepose_zone_{field}", help_, labels=[*BOX, "zone"])
            for zone, persons in last.zones.items():
                if (figure := getattr(persons, field)) is not None:
                    family.add_metric([*self._box, zone], figure)
            yield family

    def _connection(self, stats: LinkStats) -> Iterator[Metric]:
        yield self._gauge("broker_connected", "Whether the broker is connected", float(stats.connected))
        yield self._counter("broker_outages", "Connections to the broker that were lost", {(): stats.outages})
        yield self._counter("broker_reconnects", "Connections to the broker after the first", {(): stats.reconnects})

    def _gauge(self, name: str, text: str, value: float | None, about: Mapping[str, str] | None = None) -> Metric:
        about = about or {}
        family = GaugeMetricFamily(f"edgepose_{name}", text, labels=[*BOX, *about])
        if value is not None:
            family.add_metric([*self._box, *about.values()], value)
        return family

    def _counter(self, name: str, text: str, values: Mapping[tuple[str, ...], int], *labels: str) -> Metric:
        family = CounterMetricFamily(f"edgepose_{name}", text, labels=[*BOX, *labels])
        for label, value in values.items():
            family.add_metric([*self._box, *label], value)
        return family

    def _states(self, name: str, text: str, states: Mapping[str, bool]) -> Metric:
        family = StateSetMetricFamily(f"edgepose_{name}", text, labels=BOX)
        family.add_metric(self._box, dict(states))
        return family


@cache
def _versions() -> Mapping[str, str]:
    """Of the agent and of OpenVINO, whose is read off the disk: once, and not at every scrape."""
    return {"version": __version__, "openvino_version": version("openvino")}


def _about(engine: Network) -> dict[str, str]:
    """What was asked of the engine in use, and what OpenVINO made of it."""
    spec, facts = engine.spec, engine.facts
    return {
        "model": spec.model,
        "device": spec.device,
        "precision": spec.precision,
        "execution_devices": ",".join(facts.execution_devices),
        "inference_precision": facts.inference_precision,
    }


class Exporter:
    """The endpoint, as a context manager; does nothing where it is off or there are no ``settings``.

    A port that cannot be had is told and does not keep the agent from its work.
    """

    def __init__(self, settings: Prometheus | None, figures: Figures) -> None:
        self._settings = settings
        self._figures = figures
        self._server: BaseServer | None = None

    def __enter__(self) -> Self:
        settings = self._settings
        if settings is not None and settings.enabled:
            registry = CollectorRegistry(auto_describe=False)
            registry.register(self._figures)
            at = place(settings.address, settings.port)
            try:
                self._server, _thread = start_http_server(settings.port, settings.address, registry)
            except OSError as error:
                log.warning("prometheus.failed", address=at, cause=error.strerror or str(error))
            else:
                log.info("prometheus.listening", address=at)
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            # Its loop looks every half second whether it is to end: nobody waits for that.
            threading.Thread(target=_close, args=(self._server,), name="prometheus end", daemon=True).start()


def _close(server: BaseServer) -> None:
    server.shutdown()
    server.server_close()
