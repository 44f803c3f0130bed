"""Promises of the messages that say what the agent is and does."""

from datetime import UTC, datetime, timedelta

import pytest

from agent.capture.frame import CaptureCounts
from agent.config.tree import Camera, Config, Mqtt
from agent.inference.devices import list_devices
from agent.inference.engine import Engine
from agent.observe.host import ProcessMeter
from agent.observe.telemetry import Timing, summarise
from agent.output.messages import Standing, event_message, info_message, metrics_message
from agent.wire.messages import Event, Info, Metrics, ModelInfo, Severity, State, Status
from models.shelf.catalogue import Precision
from models.shelf.store import Store
from tests.inference.engines import CORE, movenet

CONFIG = Config(device_id="edge-1", groups=("hall",))


@pytest.fixture(scope="module")
def engine(store: Store) -> Engine:
    return movenet(store, (64, 64), device="HETERO:SIMCPU,CPU")


def test_a_new_standing_says_what_was_asked_and_that_nothing_runs() -> None:
    """Before there is an engine the state is starting, and effective is null."""
    state = State.model_validate_json(Standing(CONFIG).message().encode())
    assert (state.device_id, state.status, state.camera.status) == ("edge-1", Status.STARTING, "opening")
    assert (state.requested.model, state.requested.device) == (CONFIG.model.name, CONFIG.inference.device)
    assert (state.effective, state.last_error, state.camera.last_frame_at) == (None, None, None)


def test_since_moves_with_the_status_alone() -> None:
    """Becoming what one is leaves ``since``; becoming something else moves it to now."""
    before = datetime.now(UTC) - timedelta(hours=1)
    standing = Standing(CONFIG, since=before)
    standing.become(Status.STARTING)
    assert standing.since == before
    standing.become(Status.RUNNING)
    since = standing.since
    assert datetime.now(UTC) - timedelta(seconds=10) < since <= datetime.now(UTC)
    standing.become(Status.RUNNING)
    assert standing.message().since == since
    assert standing.message().status == Status.RUNNING


def to_wire(fact: object) -> object:
    """Figures travel with three decimals."""
    return round(fact, 3) if isinstance(fact, float) else fact


def test_state_tells_what_really_runs(engine: Engine) -> None:
    """With an engine the state carries every fact OpenVINO reported, of a network split over devices as well."""
    engine.generation = 4
    state = State.model_validate_json(Standing(CONFIG, engine=engine).message().encode())
    assert state.effective is not None
    effective = state.effective.model_dump()
    assert effective.pop("engine") == 4
    assert effective == {name: to_wire(getattr(engine.facts, name)) for name in effective}
    assert state.effective.submodels == 1


@pytest.mark.parametrize(
    "source",
    [
        "rtsp://admin:hunter2@camera.lan/stream",
        "http://camera.lan/video?password=hunter2",
        "rtsp://admin:hunter2/@camera.lan/stream",
        "http:/admin:hunter2@camera.lan/video",
    ],
)
def test_no_password_in_any_state(source: str) -> None:
    """Neither the camera's nor the broker's password ever stands in the state."""
    config = Config(camera=Camera(source=source), mqtt=Mqtt(username="box", password="brokers-secret"))  # type: ignore[arg-type]
    encoded = Standing(config).message().encode()
    assert b"hunter2" not in encoded
    assert b"brokers-secret" not in encoded


def test_birth_message_is_valid_and_complete() -> None:
    """The birth message names versions, host, devices, models and groups."""
    models: dict[str, tuple[Precision, ...]] = {"movenet-multipose": ("FP32", "FP16")}
    info = Info.model_validate_json(info_message(CONFIG, list_devices(CORE), models).encode())
    assert {device.name for device in info.devices} >= {"CPU", "SIMCPU"}
    assert info.models == (ModelInfo(name="movenet-multipose", precisions=("FP32", "FP16")),)
    assert "set-device" in info.commands
    assert info.groups == ("hall",)
    assert info.host.cores >= 1
    assert info.openvino_version[0].isdigit()


def test_metrics_carry_the_figures_of_the_window(engine: Engine) -> None:
    """Every figure of the summary is a key of the metrics message, which is valid for a full window."""
    rows = [Timing(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, age_ms=21.0, finished_s=0.5, persons=2)]
    summary = summarise(rows, 0.0, 2.0)
    message = metrics_message(CONFIG, engine, summary, CaptureCounts(9, 8), ProcessMeter().figures(), {})
    metrics = Metrics.model_validate_json(message.encode())
    assert {name: getattr(metrics, name) for name in summary.figures} == summary.figures
    assert (metrics.window_s, metrics.fps_mean, metrics.persons_max) == (2.0, 0.5, 2)
    assert (metrics.frames_captured, metrics.frames_processed, metrics.frames_dropped) == (9, 1, 8)
    assert (metrics.device, metrics.precision, metrics.model) == ("HETERO:SIMCPU,CPU", "FP32", "movenet-multipose")
    assert metrics.execution_devices == ",".join(engine.facts.execution_devices)
    assert (metrics.rss_mb or 0) > 0


def test_metrics_of_a_window_without_frames_know_nothing(engine: Engine) -> None:
    """A window in which the camera was dark is sent with null figures and zero counts."""
    summary = summarise([], 0.0, 5.0)
    message = metrics_message(CONFIG, engine, summary, CaptureCounts(0, 0), ProcessMeter().figures(), {})
    metrics = Metrics.model_validate_json(message.encode())
    assert metrics.fps_mean is metrics.latency_ms_p99 is metrics.persons_mean is metrics.persons_max is None
    assert (metrics.frames_captured, metrics.frames_processed) == (0, 0)


def test_events_are_valid() -> None:
    """An event carries code, severity, sentence and facts."""
    facts: dict[str, str | int | float | bool | None] = {"after_s": 2.0, "cause": None, "live": True}
    message = event_message(CONFIG, "camera.lost", Severity.WARNING, "the camera does not answer", facts)
    event = Event.model_validate_json(message.encode())
    assert (event.device_id, event.code, event.severity) == ("edge-1", "camera.lost", Severity.WARNING)
    assert event.facts == facts


def test_the_camera_is_told_with_why_and_since_when() -> None:
    """A cause goes with the loss; the time moves with the status alone, not with another cause."""
    standing = Standing(CONFIG)
    opened = standing.message().camera
    assert (opened.status, opened.cause, opened.since) == ("opening", None, standing.camera_since)
    standing.see("lost", "no frame for 2 s")
    lost = standing.message().camera
    standing.see("lost", "the host cannot be reached")
    again = standing.message().camera
    assert (lost.cause, again.cause) == ("no frame for 2 s", "the host cannot be reached")
    assert opened.since is not None
    assert lost.since is not None
    assert opened.since < lost.since == again.since
    standing.see("live")
    assert standing.message().camera.cause is None
