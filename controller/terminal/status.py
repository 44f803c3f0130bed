"""`controller status` for people: what runs, how fast, who is in view, and what is wrong, on one screen."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from agent.wire.messages import Metrics, State
from controller.client.fleet import Agent, printable
from controller.terminal.tables import COLOURS, ago

TODO: Final = {
    "camera_lost": "look at its cable, power, address and account; `agent doctor` on the box tries it",
    "degraded": "ask again for what you want, once the cause is cured: `controller set-device`",
    "failed": "`agent doctor` on the box tries everything; its log has the whole story",
    "paused": "`controller resume` goes on",
}
"""What to do, by status."""
OFFLINE: Final = "is the box on, and does it reach the broker? `systemctl status` and `agent doctor` on the box say"

Line = tuple[str, str]


def page(agent: Agent, now: datetime | None = None) -> Group:
    """Everything a person asks first, a line each; times are told from ``now``."""
    moment = now or datetime.now(UTC)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in _lines(agent, moment):
        table.add_row(name, Text(printable(text), style="red" if name in {"trouble", "to do"} else ""))
    return Group(_headline(agent, moment), table)


def _headline(agent: Agent, now: datetime) -> Text:
    state, there = agent.state, agent.availability or "silent"
    told = Text(agent.device_id, style="bold") + Text("  ") + Text(there, style=COLOURS.get(there, ""))
    if state is not None and there == "online":
        told += Text("  ") + Text(state.status.value.replace("_", " "), style=COLOURS.get(state.status.value, ""))
        told += Text(f" since {ago(state.since, now)}".replace(" ago", ""), style="dim")
    return told


def _lines(agent: Agent, now: datetime) -> Iterator[Line]:
    state, online = agent.state, agent.availability == "online"
    if not online and agent.last_seen is not None:
        yield "last seen", f"{agent.last_seen.astimezone():%Y-%m-%d %H:%M:%S}, {ago(agent.last_seen, now)}"
    if state is not None:
        yield from _runs(state, online=online)
    if online and agent.metrics is not None:
        yield from _figures(agent.metrics)
        yield "told", f"{ago(agent.metrics.sent_at, now)}, over {agent.metrics.window_s:.0f} s"
    elif online:
        yield "figures", "none yet: the first summary is on its way"
    if state is not None:
        yield "camera", _camera(state, now, online=online)
        if state.last_error is not None:
            yield "trouble", state.last_error
        if online and state.status.value in TODO:
            yield "to do", TODO[state.status.value]
    if not online:
        yield "to do", OFFLINE


def _runs(state: State, *, online: bool) -> Iterator[Line]:
    asked, now = state.requested, state.effective
    if now is None or not online:
        yield "asked for", f"{asked.model} {asked.precision} on {asked.device}"
        return
    devices = ", ".join(now.execution_devices)
    yield "runs", f"{asked.model} {now.model_precision}, computed in {now.inference_precision}, on {devices}"
    if asked.device != devices or asked.precision != now.model_precision:
        yield "asked for", f"{asked.device}, {asked.precision}"
    if state.settings:
        told = (f"{key} = {'-' if value is None else value}" for key, value in sorted(state.settings.items()))
        yield "by command", ", ".join(told)
    if state.input is not None:
        yield "input", f"{state.input.width} x {state.input.height} pixels, by {state.input.chosen_by}"
        if (fitted := state.input.fitted) is not None:
            held = f"{_figure(fitted.camera_fps, 'frames a second')} within {_figure(fitted.age_ms_max, 'ms', 0)}"
            was = f"{_figure(fitted.fps)} and {_figure(fitted.age_ms_p95, 'ms')}"
            yield "fitted", f"{', '.join(fitted.chosen)} to hold {held}: {was} measured"
            if fitted.cpu_ms is not None:
                way = f"{fitted.precision} with the {fitted.hint} hint, the best of {fitted.tried}"
                yield "chosen", f"{way}: {_figure(fitted.cpu_ms, 'ms')} of the processor a frame"


def _figures(metrics: Metrics) -> Iterator[Line]:
    dropped = f"{metrics.frames_dropped} of {metrics.frames_captured} frames dropped"
    spread = f" ({_figure(metrics.fps_min)} to {_figure(metrics.fps_max)})" if metrics.fps_mean is not None else ""
    yield "speed", f"{_figure(metrics.fps_mean, 'frames a second')}{spread}, {dropped}"
    yield (
        "inference",
        f"{_figure(metrics.latency_ms_p50, 'ms')}, 95 % within {_figure(metrics.latency_ms_p95, 'ms')}",
    )
    yield (
        "age",
        f"{_figure(metrics.age_ms_p50, 'ms')} from picture to broker, 95 % within {_figure(metrics.age_ms_p95, 'ms')}",
    )
    most = "" if metrics.persons_max is None else f", at most {metrics.persons_max}"
    zones = "".join(f"; {name} {_figure(zone.persons_mean)}" for name, zone in sorted(metrics.zones.items()))
    yield "in view", f"{_figure(metrics.persons_mean, 'people')}{most}{zones}"
    yield (
        "box",
        f"{_figure(metrics.cpu_percent, '% of a core', 0)}, {_figure(metrics.rss_mb, 'MB', 0)} of memory, "
        f"{_figure(metrics.temperature_c, '°C', 0)}",
    )


def _camera(state: State, now: datetime, *, online: bool) -> str:
    camera = state.camera
    seen = (
        f", last picture {ago(camera.last_frame_at, now)}" if camera.last_frame_at and camera.status != "live" else ""
    )
    why = f" ({camera.cause})" if camera.cause else ""
    return f"{camera.status if online else 'was ' + camera.status}: {camera.source}{why}{seen}"


def _figure(value: float | None, unit: str = "", digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}{unit and ' ' + unit}"
