"""The endpoint for Prometheus, scraped over HTTP and read by Prometheus' own parser."""

import itertools
import re
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as open_metrics_text
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families

from agent.config.tree import Config
from agent.link import Link
from agent.observe.telemetry import Telemetry, Timing
from agent.output.messages import Standing
from agent.output.prometheus import Figures
from agent.wire.commands import ReplyStatus
from agent.wire.messages import Metrics, State, Status, ZonePersons
from models.shelf.store import Store
from tests import samples
from tests.broker import Broker, Listener, free_port
from tests.capture.mjpeg import MjpegCamera
from tests.commander import Commander
from tests.inference.engines import movenet
from tests.system.conftest import TOPICS
from tests.system.process import agent

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
ROW = re.compile(r"^\| `(edgepose_\w+)` \| (\w+) \| ([^|]*?) ?\| ", re.MULTILINE)
ENGINE = {"device_id", "model", "device", "precision"}
NAME = re.compile(r"edgepose_[a-z0-9_]+")
UNITS = {"seconds", "bytes", "ratio", "celsius", "hertz"}
"""Base units, as Prometheus names them."""
COUNTS = {"status", "generation", "mean", "max", "connected", "info"}
"""How a gauge without unit may end."""


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture
def figures(store: Store, telemetry: Telemetry) -> Iterator[Figures]:
    """Those of an agent with an engine that has not seen a frame, whose broker is away."""
    config = Config(device_id="edge-1")
    link = Link(config.mqtt, TOPICS)
    with_engine = Standing(config, engine=movenet(store, (64, 64)))
    yield Figures(with_engine, telemetry, link)
    link.close()


@pytest.fixture
def everything(figures: Figures, telemetry: Telemetry) -> Figures:
    """Those of a box that knows every figure."""
    telemetry.add(Timing(0.5, 0.5, 9.0, 0.5, 0.5, 0.5, 12.0, finished_s=time.perf_counter(), persons=1))
    figures.take(samples.metrics(gpu_busy_percent=5.0, zones={"hall": ZonePersons(persons_mean=1.5, persons_max=2)}))
    return figures


def read(figures: Figures) -> dict[str, Metric]:
    """What Prometheus reads of them."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(figures)
    return {family.name: family for family in text_string_to_metric_families(generate_latest(registry).decode())}


def scrape(port: int) -> dict[str, Metric]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        return {family.name: family for family in text_string_to_metric_families(answer.read().decode())}


def wait_status(boss: Commander, wanted: Status) -> None:
    boss.wait(lambda seen: seen.topic == TOPICS.state and State.decode(bytes(seen.payload)).status is wanted)


def state_of(family: Metric) -> str:
    """The one of a family's states that is."""
    (state,) = [sample.labels[family.name] for sample in family.samples if sample.value]
    return state


def only(family: Metric) -> float:
    (sample,) = family.samples
    return float(sample.value)


def test_a_running_agent_is_scraped(broker: Broker) -> None:
    """The figures of the last metrics message are served in base units, and the counters add its windows up."""
    port = free_port()
    variables = {"EDGEPOSE_PROMETHEUS__ENABLED": "true", "EDGEPOSE_PROMETHEUS__PORT": str(port)}
    with (
        Listener(broker.port) as listener,
        agent(broker.port, EDGEPOSE_METRICS__WINDOW_S="2", **variables) as process,
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


def test_what_a_box_is_doing_is_told_as_it_is_now(broker: Broker) -> None:
    """Status, camera, broker and switches are those of the moment of the scrape, and are there before any figure."""
    port = free_port()
    with MjpegCamera(0.05) as camera:
        variables = {
            "EDGEPOSE_PROMETHEUS__ENABLED": "true",
            "EDGEPOSE_PROMETHEUS__PORT": str(port),
            "EDGEPOSE_METRICS__WINDOW_S": "600",
            "EDGEPOSE_CAMERA__SOURCE": camera.url,
            "EDGEPOSE_CAMERA__LOOP": "false",
            "EDGEPOSE_CAMERA__READ_TIMEOUT_S": "0.5",
            "EDGEPOSE_MODEL__INPUT__LONG_SIDE": "128",
            "EDGEPOSE_SWITCH__MEASURE_S": "0.3",
        }
        with Commander(broker.port, TOPICS) as boss, agent(broker.port, **variables) as process:
            boss.wait(lambda seen: seen.topic == TOPICS.keypoints, timeout_s=30)
            assert boss.ask("set-precision", precision="FP16").status is ReplyStatus.SUCCEEDED
            assert boss.ask("set-device", device="HETERO:CPU,SIMCPU").status is ReplyStatus.SUCCEEDED
            boss.ask("pause")
            wait_status(boss, Status.PAUSED)
            families = scrape(port)
            assert state_of(families["edgepose_status"]) == "paused"
            assert state_of(families["edgepose_camera_status"]) == "live"
            (engine,) = families["edgepose_engine_info"].samples
            assert (engine.labels["device"], engine.labels["precision"]) == ("HETERO:CPU,SIMCPU", "FP16")
            outcomes = {sample.labels["outcome"]: sample.value for sample in families["edgepose_switches"].samples}
            assert outcomes == {"succeeded": 2, "failed": 0}
            assert only(families["edgepose_broker_connected"]) == 1
            assert only(families["edgepose_last_frame_age_seconds"]) < 60
            assert "edgepose_window_seconds" not in families
            boss.ask("resume")
            camera.refuse()
            wait_status(boss, Status.CAMERA_LOST)
            broker.kill()
            process.wait_log("broker.lost")
            families = scrape(port)
            assert state_of(families["edgepose_camera_status"]) == "lost"
            assert state_of(families["edgepose_status"]) == "camera_lost"
            # A frame that was under way when the camera went may still end between two looks.
            ages_s = (only(scrape(port)["edgepose_last_frame_age_seconds"]) for _ in range(20))
            assert any(later > earlier for earlier, later in itertools.pairwise(ages_s))
            told = {name: only(families[f"edgepose_broker_{name}"]) for name in ("connected", "outages", "reconnects")}
            assert told == {"connected": 0, "outages": 1, "reconnects": 0}


def test_what_is_unknown_has_no_sample_and_a_switch_leaves_no_series(figures: Figures) -> None:
    """A null is no zero, and after a switch the labels of the engine before are gone."""
    assert not read(figures)["edgepose_last_frame_age_seconds"].samples
    assert "edgepose_frames_captured" not in read(figures)
    figures.take(samples.metrics(device="CPU", fps_mean=10.0, temperature_c=None))
    figures.take(samples.metrics(device="GPU", fps_mean=None, temperature_c=None))
    families = read(figures)
    assert not families["edgepose_temperature_celsius"].samples
    assert not families["edgepose_frame_rate_hertz"].samples
    assert {sample.labels["device"] for sample in families["edgepose_engine_generation"].samples} == {"GPU"}
    assert only(families["edgepose_frames_captured"]) == 300


def test_switches_are_counted_by_what_became_of_them(figures: Figures) -> None:
    """Both outcomes are there from the start, so that the first failure is an increase; other events count nothing."""
    for code in ("switch.started", "switch.failed", "switch.started", "switch.done", "camera.lost", "switch.failed"):
        figures.happened(code)
    outcomes = {sample.labels["outcome"]: sample.value for sample in read(figures)["edgepose_switches"].samples}
    assert outcomes == {"succeeded": 1, "failed": 2}


def test_the_page_has_every_metric(everything: Figures) -> None:
    """The table names each metric with its type and labels, and no other."""
    found = {}
    for family in read(everything).values():
        sample = family.samples[0]
        labels = set(sample.labels) - {"device_id"}
        extra = sorted(labels - ENGINE)
        told = ["engine"] * bool(labels & ENGINE) + [f"`{name}`" for name in extra]
        found[sample.name] = (family.type, ", ".join(told))
    page = PAGE.read_text(encoding="utf-8")
    assert {name: (kind, labels) for name, kind, labels in ROW.findall(page)} == found
    assert set(re.findall(r"edgepose_\w+", page)) == set(found), "an expression of the page asks for what is not there"


def test_names_are_as_prometheus_wants_them(everything: Figures) -> None:
    """Counters and they alone end in `_total`, what has a unit names a base unit last, and OpenMetrics reads it all."""
    for family in read(everything).values():
        assert NAME.fullmatch(family.name)
        assert family.documentation
        last = family.name.rpartition("_")[2]
        if family.type == "counter":
            assert {sample.name for sample in family.samples} == {f"{family.name}_total"}
        else:
            assert last in UNITS | COUNTS, family.name
    registry = CollectorRegistry(auto_describe=False)
    registry.register(everything)
    text = open_metrics_text(registry).decode()  # type: ignore[no-untyped-call]
    names = {family.name for family in open_metrics(text)}  # type: ignore[no-untyped-call]
    assert names == read(everything).keys()
