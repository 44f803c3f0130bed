"""The figures of the metrics message for Prometheus to scrape; off unless the configuration turns it on.

What is served is the last summary, so that a scrape costs nothing of a frame's time. docs/operations.md explains each
figure.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from socketserver import BaseServer
from typing import Final, Self

import structlog
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agent import __version__
from agent.config import Prometheus
from agent.wire.messages import Metrics

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


STAGES: Final = ("capture", "prepare", "infer", "decode", "track", "publish")
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
    Gauge("gpu_busy_ratio", "Busiest graphics card", BOX, {"": "gpu_busy_percent"}, factor=PERCENT),
    Gauge("window_seconds", "Length of the window the figures are of", BOX, {"": "window_s"}),
)
FRAMES: Final = {
    "captured": "Frames the source took",
    "processed": "Frames finished",
    "dropped": "Frames replaced before anybody read them",
}


class Figures(Collector):
    """The last summary, and what has been counted since the start."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: Metrics | None = None
        self._counted = dict.fromkeys(FRAMES, 0)

    def take(self, metrics: Metrics) -> None:
        """Take the next summary."""
        with self._lock:
            self._last = metrics
            for name in FRAMES:
                self._counted[name] += getattr(metrics, f"frames_{name}")

    def collect(self) -> Iterator[Metric]:
        """Everything there is; nothing before the first summary."""
        with self._lock:
            last, counted = self._last, dict(self._counted)
        if last is None:
            return
        yield from (gauge.family(last) for gauge in GAUGES)
        told = GaugeMetricFamily("edgepose_summary_timestamp_seconds", "When the figures were made", labels=BOX)
        told.add_metric([last.device_id], last.sent_at.timestamp())
        yield told
        about = GaugeMetricFamily("edgepose_agent_info", "The agent; always 1", labels=[*BOX, "version"])
        about.add_metric([last.device_id, __version__], 1)
        yield about
        for name, text in FRAMES.items():
            total = CounterMetricFamily(f"edgepose_frames_{name}", text, labels=BOX)
            total.add_metric([last.device_id], counted[name])
            yield total


class Exporter:
    """The endpoint, as a context manager; does nothing where it is off or there are no ``settings``.

    A port that cannot be had is told and does not keep the agent from its work.
    """

    def __init__(self, settings: Prometheus | None) -> None:
        self._settings = settings
        self._figures = Figures()
        self._server: BaseServer | None = None

    def __enter__(self) -> Self:
        settings = self._settings
        if settings is not None and settings.enabled:
            registry = CollectorRegistry(auto_describe=False)
            registry.register(self._figures)
            place = f"{settings.address}:{settings.port}"
            try:
                self._server, _thread = start_http_server(settings.port, settings.address, registry)
            except OSError as error:
                log.warning("prometheus.failed", address=place, cause=error.strerror or str(error))
            else:
                log.info("prometheus.listening", address=place)
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            # Its loop looks every half second whether it is to end: nobody waits for that.
            threading.Thread(target=_close, args=(self._server,), name="prometheus end", daemon=True).start()

    def take(self, metrics: Metrics) -> None:
        """Serve this summary from now on."""
        self._figures.take(metrics)


def _close(server: BaseServer) -> None:
    server.shutdown()
    server.server_close()
