"""The demo: a real agent on the sample clip, a real broker beside it, and a live table fed from the wire.

What the table shows has been through the broker and was read by the controller's own client, as a dashboard would.
"""

import logging
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from types import FrameType
from typing import Any

import structlog
from iotcore import Broker
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from agent.app import Agent
from agent.config.file import load
from agent.config.tree import Config, InputSize
from agent.errors import EdgeposeError
from agent.extras import require
from agent.observe import logs
from agent.scratch import scratch
from agent.wire.messages import Keypoints, MessageError, Metrics, State
from agent.wire.topics import Topics
from agent.wire.wording import many
from controller.client.address import Address
from controller.client.connection import Client, Received
from controller.errors import ControllerError
from models.getting.fetch import fetch
from models.shelf import catalogue
from models.shelf.store import Store

log = structlog.get_logger()

LOOPBACK = "127.0.0.1"
BROKER_TOML = """\
id = 0

[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 10000
max_segment_size = 1048576
max_segment_count = 10
"""
LISTENER_TOML = """
[{section}]
name = "{name}"
listen = "{host}:{port}"
next_connection_delay_ms = 1

[{section}.connections]
connection_timeout_ms = 5000
max_payload_size = 1048576
max_inflight_count = 100
dynamic_filters = true
"""
DRAW_EVERY_S = 0.25
AGENT_END_S = 5.0
PAGE_PORT = 8420
PAGE_END_S = 3.0
FIRST_NEWS_S = 60.0
"""How long the first pose may take before the demo gives up: a slow machine compiles for many seconds."""


@dataclass(slots=True)
class Seen:
    """What came over the wire so far."""

    frames: int = 0
    frames_with_people: int = 0
    persons_max: int = 0
    latest: Keypoints | None = None
    metrics: Metrics | None = None
    state: State | None = None
    interrupted: bool = False
    began_s: float = field(default_factory=time.monotonic)

    def take(self, message: Received, topics: Topics) -> bool:
        """Count one message; true when it was a metrics summary. Raises MessageError."""
        if message.topic == topics.keypoints:
            self.latest = Keypoints.decode(message.payload)
            self.frames += 1
            self.frames_with_people += bool(self.latest.persons)
            self.persons_max = max(self.persons_max, len(self.latest.persons))
        elif message.topic == topics.state:
            self.state = State.decode(message.payload)
        elif message.topic == topics.metrics:
            self.metrics = Metrics.decode(message.payload)
            return True
        return False


def run_demo(*, seconds: float | None, model: str | None, port: int, video: Path | None, page: bool = False) -> int:
    """Run until ``seconds`` are over or Ctrl-C; 0 when people were found. ``page``: `controller dashboard` too."""
    with ExitStack() as stack:
        mqtt5, mqtt311 = stack.enter_context(embedded_broker(port))
        # What is tried out on a demo is forgotten with it.
        state = stack.enter_context(scratch("the demo's state"))
        config = _configuration(mqtt5, model, video, state)
        logs.setup(config.log)
        store = Store(config.paths.models)
        if not store.card(config.model.name).input.resizable:  # the size the demo likes is not for everyone
            config = config.model_copy(update={"model": config.model.model_copy(update={"input": InputSize()})})
        wanted = [] if config.model.name in store.own() else [config.model.name]
        if config.camera.source.startswith("clip:"):
            wanted.append(config.camera.source.removeprefix("clip:"))
        for name in wanted:
            fetch(catalogue.card(name), store)
        agent = Agent(config)
        ended: queue.SimpleQueue[int] = queue.SimpleQueue()
        threading.Thread(target=_run, args=(agent, ended), name="agent", daemon=True).start()
        console = Console()
        try:
            address = stack.enter_context(_page(mqtt5)) if page else None
            seen = _watch(config, console, seconds, ended, (mqtt5, mqtt311), address)
        except ControllerError as error:
            raise EdgeposeError(str(error), hint=error.hint) from error
        finally:
            agent.stop("end of the demo")
            code = ended.get(timeout=AGENT_END_S)
    return code or _conclude(seen, console)


def _run(agent: Agent, ended: "queue.SimpleQueue[int]") -> None:
    try:
        ended.put(agent.run())
    except Exception:
        log.exception("agent.crashed")
        ended.put(1)


@contextmanager
def embedded_broker(wanted: int) -> Iterator[tuple[int, int]]:
    """A broker on loopback, in a process of its own; yields its ports for MQTT 5 and for MQTT 3.1.1.

    ``wanted`` is taken for MQTT 5 where it is free, the one after it for MQTT 3.1.1; else any free ones.
    """
    mqtt5, mqtt311 = _free_port(wanted), _free_port(wanted + 1)
    text = BROKER_TOML
    for section, name, port in (("v5.1", "mqtt5", mqtt5), ("v4.1", "mqtt311", mqtt311)):
        text += LISTENER_TOML.format(section=section, name=name, host=LOOPBACK, port=port)
    with scratch("the demo's broker") as folder:
        path = folder / "broker.toml"
        path.write_text(text, encoding="utf-8")
        broker = Broker(config_path=str(path), listen=LOOPBACK, port=mqtt5)
        try:
            _start(broker)
            yield mqtt5, mqtt311
        finally:
            broker.stop()


@contextmanager
def _page(broker_port: int) -> Iterator[str]:
    """The controller's page in a process of its own, as everybody else starts it; yields its address."""
    require("nicegui")
    listen = f"{LOOPBACK}:{_free_port(PAGE_PORT)}"
    start = "from controller.cli import main; main()"
    command = [sys.executable, "-c", start, "--broker", f"{LOOPBACK}:{broker_port}", "dashboard", "--listen", listen]
    process = subprocess.Popen(  # noqa: S603 - our own program
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield f"http://{listen}/"
    finally:
        process.terminate()
        try:
            process.wait(PAGE_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _start(broker: Broker) -> None:
    try:
        broker.start()
    except (OSError, RuntimeError) as error:
        raise EdgeposeError(f"the embedded broker does not start: {error}", hint="try another --port") from error


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except (OSError, OverflowError):  # taken, or beyond the last port
                continue
            return int(probe.getsockname()[1])
    raise EdgeposeError("no free port on loopback for the embedded broker")


def _configuration(port: int, model: str | None, video: Path | None, state: Path) -> Config:
    overrides: dict[str, Any] = {
        "mqtt.host": LOOPBACK,
        "mqtt.port": port,
        "metrics.window_s": 2.0,
        "log.level": "warning",
        "paths.state": str(state),
    }
    if model is not None:
        overrides["model.name"] = model
    if video is not None:
        overrides["output.video_file"] = str(video)
    with as_file(files("configs") / "demo.toml") as path:
        return load(path, overrides=overrides)


def _watch(
    config: Config,
    console: Console,
    seconds: float | None,
    ended: "queue.SimpleQueue[int]",
    ports: tuple[int, int],
    page: str | None,
) -> Seen:
    """Show what comes over the wire until the time is over, Ctrl-C, or the agent ends."""
    topics = Topics(config.device_id, config.mqtt.prefix)
    seen = Seen()
    _on_signals(seen)
    deadline = time.monotonic() + (seconds or float("inf"))
    with (
        Client(Address(LOOPBACK, ports[0]), timeout_s=5.0) as client,
        Live(console=console, auto_refresh=False, redirect_stderr=sys.stderr.isatty()) as live,
    ):
        _log_above_the_table()
        if page is not None and not console.is_terminal:
            console.print(f"The page: {page}", soft_wrap=True)
        client.subscribe([topics.keypoints, topics.metrics, topics.state])
        while time.monotonic() < deadline and ended.empty() and not seen.interrupted:
            news = [_understood(seen, message, topics) for message in client.messages(time.monotonic() + DRAW_EVERY_S)]
            if console.is_terminal:
                live.update(_table(seen, ports, page), refresh=True)
            elif any(news) and seen.metrics is not None:
                console.print(_line(seen.metrics, seen), soft_wrap=True)
            if not seen.frames and time.monotonic() - seen.began_s > FIRST_NEWS_S:
                raise EdgeposeError(f"no pose arrived within {FIRST_NEWS_S:.0f} s", hint="run `agent doctor`")
    return seen


def _on_signals(seen: Seen) -> None:
    """From now on a signal only asks for the end: an exception in the middle of the table would leave it in pieces."""

    def ask(_number: int, _frame: FrameType | None) -> None:
        seen.interrupted = True

    signal.signal(signal.SIGINT, ask)
    signal.signal(signal.SIGTERM, ask)


def _log_above_the_table() -> None:
    """Let what is logged go through the Live display, which now stands before sys.stderr, and not into the table."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(sys.stderr)


def _understood(seen: Seen, message: Received, topics: Topics) -> bool:
    try:
        return seen.take(message, topics)
    except MessageError as error:  # the broker is open to everybody on this machine
        log.warning("message.not_understood", topic=message.topic, reason=error.reason)
        return False


def _line(metrics: Metrics, seen: Seen) -> str:
    return (
        f"{metrics.fps_mean or 0:5.1f} FPS  {metrics.latency_ms_mean or 0:6.1f} ms inference  "
        f"{metrics.age_ms_p95 or 0:6.1f} ms capture to publish (p95)  "
        f"{metrics.persons_mean or 0:4.1f} persons (at most {seen.persons_max})"
    )


def _table(seen: Seen, ports: tuple[int, int], page: str | None) -> Group:
    table = Table(title="edgepose demo: poses over MQTT", title_justify="left", show_header=False)
    metrics, state = seen.metrics, seen.state
    table.add_row("status", state.status if state else "starting")
    if metrics is not None:
        table.add_row("network", f"{metrics.model} {metrics.precision} on {metrics.execution_devices}")
        table.add_row("frames per second", _figure(metrics.fps_mean))
        table.add_row(
            "inference latency", f"{_figure(metrics.latency_ms_mean)} ms, p95 {_figure(metrics.latency_ms_p95)}"
        )
        table.add_row("capture to publish", f"p50 {_figure(metrics.age_ms_p50)} ms, p95 {_figure(metrics.age_ms_p95)}")
        table.add_row("processor, memory", f"{_figure(metrics.cpu_percent)} %, {_figure(metrics.rss_mb)} MB")
    if seen.latest is not None:
        table.add_row("persons now", str(len(seen.latest.persons)))
        table.add_row("persons at most", str(seen.persons_max))
        table.add_row("frames received", f"{seen.frames}, {seen.frames_with_people} with people")
    return Group(table, Text(_to_try(ports, page), style="dim"))


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _to_try(ports: tuple[int, int], page: str | None) -> str:
    shown = f"In a browser: {page}\n" if page else ""
    return shown + (
        "In another terminal (Ctrl-C ends the demo):\n"
        f"  .venv/bin/controller --broker localhost:{ports[0]} list\n"
        f"  .venv/bin/controller --broker localhost:{ports[0]} watch demo\n"
        f"  .venv/bin/controller --broker localhost:{ports[0]} set-device demo HETERO:SIMCPU,CPU\n"
        f"  mosquitto_sub -p {ports[1]} -t 'edgepose/#' -v"
    )


def _conclude(seen: Seen, console: Console) -> int:
    if seen.interrupted and not seen.frames_with_people:
        console.print("Ended before anybody was found.")
        return 0
    if not seen.frames_with_people:
        console.print("No people were found: that is not what the clip shows. Run `agent doctor`.")
        return 1
    console.print(
        f"{many(seen.frames, 'frame')} came over the broker, {seen.frames_with_people} of them with people, "
        f"up to {seen.persons_max} at once."
    )
    return 0
