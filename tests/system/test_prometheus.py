"""The endpoint for Prometheus, scraped over HTTP and read by Prometheus' own parser."""

import re
import signal
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from agent.prometheus import Figures
from agent.wire.messages import Metrics
from tests import samples
from tests.broker import Broker, Listener, free_port
from tests.system.conftest import TOPICS
from tests.system.process import agent

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
ROW = re.compile(r"^\| `(edgepose_\w+)` \| (\w+) \| ([^|]*?) ?\| ", re.MULTILINE)
ENGINE = {"device_id", "model", "device", "precision"}


def scrape(port: int) -> dict[str, Metric]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        return {family.name: family for family in text_string_to_metric_families(answer.read().decode())}


def only(family: Metric) -> float:
    (sample,) = family.samples
    return float(sample.value)


def test_a_running_agent_is_scraped(broker: Broker) -> None:
    """The figures of the last metrics message are served in base units, and the counters add its windows up."""
    port = free_port()
    variables = {"EDGEPOSE_PROMETHEUS__ENABLED": "true", "EDGEPOSE_PROMETHEUS__PORT": str(port)}
    with (
        Listener(broker.port) as listener,
        agent(broker.port, EDGEPOSE_METRICS__WINDOW_S="0.5", **variables) as process,
    ):
        process.wait_log("prometheus.listening")

        def window(number: int) -> bool:
            return len(listener.payloads(TOPICS.metrics)) >= number

        listener.wait(lambda _: window(3), timeout_s=30)
        families = scrape(port)
        told = [Metrics.decode(payload) for payload in listener.payloads(TOPICS.metrics)]
        at = only(families["edgepose_summary_timestamp_seconds"])
        # It is served right after it was announced, so the listener may know one more or one less.
        listener.wait(lambda _: window(len(told) + 1))
        told = [Metrics.decode(payload) for payload in listener.payloads(TOPICS.metrics)]
        number = next(place for place, each in enumerate(told) if abs(each.sent_at.timestamp() - at) < 0.002)
        last = told[number]
        latency = {
            sample.labels["quantile"]: sample.value for sample in families["edgepose_inference_latency_seconds"].samples
        }
        assert last.latency_ms_p99 is not None
        assert latency["0.99"] == pytest.approx(last.latency_ms_p99 / 1e3)
        assert last.rss_mb is not None
        assert only(families["edgepose_resident_memory_bytes"]) == pytest.approx(last.rss_mb * 2**20)
        processed = sum(each.frames_processed for each in told[: number + 1])
        assert only(families["edgepose_frames_processed"]) == processed > 0
        (rate,) = families["edgepose_frame_rate_hertz"].samples
        assert rate.labels == {"device_id": "demo", "model": last.model, "device": "CPU", "precision": "FP32"}
        process.signal(signal.SIGTERM)
        assert process.end() == 0


def test_it_is_off_unless_asked_for_and_no_port_ends_an_agent(broker: Broker) -> None:
    """Nobody listens by default. Where the port is taken the agent says so, and people are seen all the same."""
    with agent(broker.port) as process:
        process.wait_log("engine.ready")
        assert not [entry for entry in process.log if entry["event"].startswith("prometheus.")]
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen("http://127.0.0.1:9464/metrics", timeout=1)
    taken = {"EDGEPOSE_PROMETHEUS__ENABLED": "true", "EDGEPOSE_PROMETHEUS__PORT": str(broker.port)}
    with Listener(broker.port) as listener, agent(broker.port, **taken) as process:
        assert "in use" in process.wait_log("prometheus.failed")["cause"]
        listener.wait(lambda seen: seen.topic == TOPICS.keypoints, timeout_s=30)


def test_what_is_unknown_has_no_sample_and_a_switch_leaves_no_series() -> None:
    """A null is no zero, and after a switch the labels of the engine before are gone."""
    figures = Figures()
    assert not list(figures.collect())
    figures.take(samples.metrics(device="CPU", fps_mean=10.0, temperature_c=None))
    figures.take(samples.metrics(device="GPU", fps_mean=None, temperature_c=None))
    families = {family.name: family for family in figures.collect()}
    assert not families["edgepose_temperature_celsius"].samples
    assert not families["edgepose_frame_rate_hertz"].samples
    assert {sample.labels["device"] for sample in families["edgepose_engine_generation"].samples} == {"GPU"}
    assert only(families["edgepose_frames_captured"]) == 300


def test_the_page_has_every_metric() -> None:
    """The table names each metric with its type and labels, and no other."""
    figures = Figures()
    figures.take(samples.metrics(gpu_busy_percent=5.0))
    found = {}
    for family in figures.collect():
        sample = family.samples[0]
        labels = set(sample.labels) - {"device_id"}
        extra = labels - ENGINE
        told = ["engine"] * bool(labels & ENGINE) + [f"`{name}`" for name in extra]
        found[sample.name] = (family.type, ", ".join(told))
    assert {name: (kind, labels) for name, kind, labels in ROW.findall(PAGE.read_text(encoding="utf-8"))} == found
