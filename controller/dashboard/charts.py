"""The charts of a box: its last ten minutes."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from nicegui import ui

from agent.wire.messages import Metrics

GREY: Final = "#8591a1"
COLOURS: Final = ("#2f7de1", "#e08a00", "#d6457f")
"""Told apart on light and on dark, by those too who cannot tell red from green."""


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines in one picture: name to field of the summary."""

    title: str
    unit: str
    lines: dict[str, str]


CHARTS: Final = (
    Chart("Frames a second", "fps", {"FPS": "fps_mean"}),
    Chart("Inference", "ms", {"p50": "latency_ms_p50", "p95": "latency_ms_p95", "p99": "latency_ms_p99"}),
    Chart("Capture to publish", "ms", {"p50": "age_ms_p50", "p95": "age_ms_p95", "p99": "age_ms_p99"}),
    Chart("People", "", {"mean": "persons_mean", "most": "persons_max"}),
    Chart("Processor", "%", {"CPU": "cpu_percent"}),
)


def build() -> list[ui.echart]:
    """Make them, empty."""
    found = []
    for chart in CHARTS:
        with ui.element("section").classes("plate"):
            ui.label(f"{chart.title} ({chart.unit})" if chart.unit else chart.title).props(
                "role=heading aria-level=2"
            ).classes("soft")
            found.append(ui.echart(_options(chart)).classes("chart"))
    return found


def fill(shown: list[ui.echart], history: Iterable[Metrics]) -> None:
    """Put the summaries into all of them."""
    summaries = sorted(history, key=lambda each: each.sent_at)  # a clock may have gone back
    for chart, element in zip(CHARTS, shown, strict=True):
        for series, field in zip(element.options["series"], chart.lines.values(), strict=True):
            series["data"] = [[round(each.sent_at.timestamp() * 1000), getattr(each, field)] for each in summaries]
        element.update()


def _options(chart: Chart) -> dict[str, Any]:
    lines = {"lineStyle": {"color": GREY, "opacity": 0.25}}
    axis = {"axisLabel": {"color": GREY, "hideOverlap": True}, "splitLine": lines}
    return {
        "animation": False,
        "color": list(COLOURS),
        "aria": {"enabled": True},
        "grid": {"left": 45, "right": 12, "top": 28 if len(chart.lines) > 1 else 12, "bottom": 24},
        "legend": {"show": len(chart.lines) > 1, "top": 0, "textStyle": {"color": GREY}, "icon": "roundRect"},
        "tooltip": {"trigger": "axis", "renderMode": "richText"},
        "xAxis": {"type": "time", **axis, "splitLine": {"show": False}},
        "yAxis": {"type": "value", **axis},
        "series": [{"name": name, "type": "line", "showSymbol": False, "data": []} for name in chart.lines],
    }
