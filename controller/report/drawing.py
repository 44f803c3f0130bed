"""Charts of a study, drawn by Matplotlib without a screen. Only what draws one imports it, and it alone needs NumPy."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from agent.wire.study import Spread
from controller.errors import ControllerError
from controller.report.charts import NOT_COMPARED, Bar, Chart
from controller.report.rows import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH: Final = 11.0
"""Inches, like the heights below."""
LINE: Final = 0.19
"""Of text in a label."""
BETWEEN: Final = 0.12
LETTERS: Final = 48
"""Of a label; a box may name many devices."""
TITLES: Final = 1.45
"""What stands above and below the bars."""
COLOURS: Final = {
    "original": "#7f7f7f",
    "single": "#0072b2",
    "AUTO": "#56b4e9",
    "MULTI": "#e69f00",
    "HETERO": "#009e73",
    "BATCH": "#cc79a7",
}
"""Of Okabe and Ito, told apart by the colour-blind and, lighter or darker, in print; the labels say the same."""
TEXT: Final = "#1a1a1a"
STYLE: Final[Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "svg.fonttype": "path",
    "svg.hashsalt": "edgepose",
    "text.color": TEXT,
    "text.parse_math": False,  # a dollar is a dollar
    "axes.labelcolor": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "hatch.linewidth": 0.8,
}


def svg(chart: Chart) -> bytes:
    """Draw a chart; the same chart is the same bytes. Raises :class:`ControllerError` without Matplotlib."""
    return _drawn(chart, "svg", {"Date": None, "Creator": None, "Format": None, "Type": None})


def png(chart: Chart) -> bytes:
    """Draw a chart in pixels. Raises :class:`ControllerError` without Matplotlib."""
    return _drawn(chart, "png", {"Software": None})


def _drawn(chart: Chart, kind: str, metadata: dict[str, None]) -> bytes:
    try:
        import matplotlib  # noqa: PLC0415 - an extra, which is told of where it is missing
        from matplotlib.figure import Figure  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        raise ControllerError(f"{error.name} is not installed", hint="in the clone: pip install '.[report]'") from error
    stream = io.BytesIO()
    # Nobody's matplotlibrc changes a report, and ours changes nobody's figures.
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        figure = Figure()
        figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)
        _draw(figure, chart)
        figure.savefig(stream, format=kind, metadata=metadata, facecolor="white", dpi=110)
    return stream.getvalue()


def _draw(figure: "Figure", chart: Chart) -> None:
    bars, ticks, depth = _places(chart)
    figure.set_size_inches(WIDTH, TITLES + depth)
    speed, latency = figure.subplots(1, 2, sharey=True)
    figure.suptitle(chart.title, fontsize=12, fontweight="bold")
    _panel(speed, [(place, bar, bar.entry.fps) for place, bar in bars])
    speed.set_xlabel("frames a second (more is better)")
    _panel(latency, [(place, bar, chart.latency_of(bar)) for place, bar in bars])
    latency.set_xlabel("latency of inference, ms (less is better)")
    speed.set_yticks([place for place, _text, _bold in ticks], [text for _place, text, _bold in ticks])
    for label, (_place, _text, bold) in zip(speed.get_yticklabels(), ticks, strict=True):
        label.set_fontweight("bold" if bold else "normal")
    speed.set_ylim(depth, 0)
    figure.supxlabel(_legend(chart), fontsize=8, color="#555555")


def _places(chart: Chart) -> tuple[list[tuple[float, Bar]], list[tuple[float, str, bool]], float]:
    """How far from the top each bar and each label stands, whether a label is bold, and the depth of it all."""
    depth, bars, ticks = BETWEEN, [], []
    for group in chart.groups:
        if group.title:
            ticks.append((depth + LINE / 2, _short(group.title), True))
            depth += LINE + BETWEEN / 2
        for bar in group.bars:
            height = LINE * (1 + bar.label.count("\n"))
            ticks.append((depth + height / 2, "\n".join(map(_short, bar.label.split("\n"))), False))
            bars.append((depth + height / 2, bar))
            depth += height + BETWEEN
        depth += BETWEEN
    return bars, ticks, depth


def _short(text: str) -> str:
    return text if len(text) <= LETTERS else f"{text[: LETTERS - 3]}..."


def _panel(axes: "Axes", bars: Sequence[tuple[float, Bar, Spread | None]]) -> None:
    most = max(value.max for _place, _bar, value in bars if value is not None) or 1.0
    for place, bar, value in bars:
        if value is None:
            axes.text(0.015 * most, place, NOT_COMPARED, va="center", fontsize=8)
            continue
        drawn = axes.barh(place, value.mean, height=LINE, color=COLOURS[bar.entry.kind], edgecolor=TEXT, linewidth=0.4)
        if bar.entry.row.accurate is False:
            drawn.patches[0].set_hatch("////")
        whisker = [[value.mean - value.min], [value.max - value.mean]]
        axes.errorbar(value.mean, place, xerr=whisker, color=TEXT, capsize=2.5, linewidth=1)
        text = number(value.mean) + (" *" if bar.entry.disturbed else "")
        axes.text(value.max + 0.015 * most, place, text, va="center", fontsize=8)
    axes.set_xlim(0, most * 1.16)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _legend(chart: Chart) -> str:
    told = "bar: mean of the runs; whisker: slowest and fastest run"
    if any(bar.entry.row.accurate is False for bar in chart.bars):
        told += "; hatched: loses people, never chosen"
    if any(bar.entry.disturbed for bar in chart.bars):
        told += "; *: not every run was quiet"
    return told
