"""Charts as elements of the page: bars that take the width there is, text that keeps its size, colours of the theme.

Positions along a bar are percentages and heights are pixels, so that nothing has to know how wide a window is.
"""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from agent.wire.study import Spread
from controller.report.charts import NOT_COMPARED, Bar, Chart, Group
from controller.report.rows import number

LABEL_PX: Final = 17
"""Of a line of text above its bar."""
BAR_PX: Final = 13
BETWEEN_PX: Final = 9
LONGEST: Final = 74.0
"""Percent of the width that the longest whisker takes; the rest is for its figure."""
STYLE: Final = """
:root { --original: #7f7f7f; --single: #0072b2; --AUTO: #3c96cf; }
:root { --MULTI: #c98500; --HETERO: #008f68; --BATCH: #bb5f92; }
@media screen and (prefers-color-scheme: dark) {
  :root { --single: #4aa3e0; --AUTO: #7cc4f0; --MULTI: #e8a93a; --HETERO: #2fb98f; --BATCH: #dc8fb8; }
}
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); gap: 1rem 2.5rem; }
.panels h4 { margin: .3rem 0; font-weight: 600; }
figure h3, figcaption { margin: .2rem 0; }
figcaption { font-size: 13px; opacity: .8; }
.panels svg { display: block; width: 100%; overflow: visible; font: 13px system-ui, sans-serif; fill: currentColor; }
.panels .group { font-weight: 600; }
.panels line { stroke: currentColor; }
.panels circle { stroke: var(--single); stroke-width: 1.5; fill: none; }
.panels circle.worth { fill: var(--single); }
.panels circle.winner { stroke: currentColor; }
.panels .loses { fill-opacity: .25; stroke: currentColor; stroke-dasharray: 3 2; }
"""


def figure(chart: Chart) -> str:
    """The chart as two panels, beside each other where there is room; XML."""
    fps = _panel("frames a second (more is better)", chart, [bar.entry.fps for bar in chart.bars])
    latency = _panel("latency of inference, ms (less is better)", chart, list(map(chart.latency_of, chart.bars)))
    return (
        f'<figure role="img" aria-label="{escape(chart.words)}">\n<h3>{escape(chart.title)}</h3>\n'
        f'<div class="panels">{fps}{latency}</div>\n<figcaption>{escape(_legend(chart))}</figcaption>\n</figure>'
    )


def _panel(heading: str, chart: Chart, values: Sequence[Spread | None]) -> str:
    most = max(value.max for value in values if value is not None) or 1.0
    inner, depth = [], 0
    left = iter(values)
    for group in chart.groups:
        for element, height in _group(group, left, most):
            inner.append(f'<svg y="{depth}" height="{height}">{element}</svg>')
            depth += height
    return f'<div><h4>{escape(heading)}</h4><svg height="{depth}" aria-hidden="true">' + "".join(inner) + "</svg></div>"


def _group(group: Group, values: Iterator[Spread | None], most: float) -> Iterator[tuple[str, int]]:
    """Elements from the top, each with its height."""
    if group.title:
        yield "", BETWEEN_PX
        yield _text(group.title, "group"), LABEL_PX + 2
    for bar in group.bars:
        for line in bar.label.split("\n"):
            yield _text(line, ""), LABEL_PX
        yield _bar(bar, next(values), most), BAR_PX + BETWEEN_PX


def _text(text: str, kind: str) -> str:
    return f'<text class="{kind}" y="{LABEL_PX - 5}">{escape(text)}</text>'


def _bar(bar: Bar, value: Spread | None, most: float) -> str:
    if value is None:
        return f'<text y="{BAR_PX - 2}">{escape(NOT_COMPARED)}</text>'
    mean, low, high = (f"{LONGEST * part / most:.2f}%" for part in (value.mean, value.min, value.max))
    kind = ' class="loses"' if bar.entry.row.accurate is False else ""
    middle = BAR_PX / 2
    told = number(value.mean) + (" *" if bar.entry.disturbed else "")
    return (
        f'<rect{kind} width="{mean}" height="{BAR_PX}" style="fill: var(--{bar.entry.kind})" />'
        f'<line x1="{low}" x2="{high}" y1="{middle}" y2="{middle}" />'
        + "".join(f'<line x1="{end}" x2="{end}" y1="3" y2="{BAR_PX - 3}" />' for end in (low, high))
        + f'<text x="{high}" dx="6" y="{BAR_PX - 2}">{escape(told)}</text>'
    )


def _legend(chart: Chart) -> str:
    told = "Bar: mean of the runs. Whisker: slowest and fastest run."
    if any(bar.entry.row.accurate is False for bar in chart.bars):
        told += " Pale with a dashed edge: loses people, never chosen."
    if any(bar.entry.disturbed for bar in chart.bars):
        told += " *: not every run was quiet."
    return told
