"""The picture of a soak: memory, descriptors and threads, frames, latency and age, with every fault marked."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.soak.verdict import Happened, Sample, Soak, memory_line

COLOURS: Final = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#d55e00",
    "#8c6d31",
    "#7f7f7f",
    "#6a3d9a",
    "#000000",
)
"""One for each kind of fault."""
SIZE: Final = (14.0, 11.0)


def draw(soak: Soak, path: Path) -> None:
    """Write it as PNG."""
    figure = Figure(figsize=SIZE, layout="constrained")
    memory, holds, frames, times, marks = figure.subplots(5, 1, sharex=True, height_ratios=(4, 3, 3, 4, 3))
    figure.suptitle(
        f"{soak.seconds / 60:.0f} minutes with {len(soak.happened)} faults, from {soak.begin:%Y-%m-%d %H:%M} UTC"
    )
    _memory(memory, soak)
    _lines(holds, soak, {"descriptors": lambda s: s.descriptors, "threads": lambda s: s.threads})
    _lines(frames, soak, {"frames a second": lambda s: s.fps})
    _lines(
        times,
        soak,
        {
            "age p99 (capture to publish)": lambda s: s.age_ms_p99,
            "latency p99 (inference)": lambda s: s.latency_ms_p99,
            "latency p50": lambda s: s.latency_ms_p50,
        },
    )
    times.set_yscale("log")
    times.yaxis.set_major_formatter(lambda value, _place: f"{value:g}")
    times.yaxis.set_minor_formatter(lambda value, _place: f"{value:g}" if str(value)[0] in "25" else "")
    for axes, label in ((memory, "resident memory, MB"), (holds, "number"), (frames, "1/s"), (times, "ms")):
        axes.set_ylabel(label)
        axes.legend(loc="upper left", fontsize=8, ncols=3)
        axes.grid(color="#dddddd", linewidth=0.6)
        _spans(axes, soak)
        low, high = axes.get_ylim()
        axes.set_ylim(low, high * (high / low) ** 0.25 if axes is times else high + 0.25 * (high - low))
    holds.set_ylim(bottom=0)
    frames.set_ylim(bottom=0)
    _marks(marks, soak)
    marks.set_xlabel("minutes")
    figure.savefig(path, dpi=110)


def _minutes(soak: Soak, sample: Sample) -> float:
    return (sample.at - soak.begin).total_seconds() / 60


def _lines(axes: Axes, soak: Soak, lines: dict[str, Callable[[Sample], float | None]]) -> None:
    x = [_minutes(soak, sample) for sample in soak.samples]
    for (label, figure), colour in zip(lines.items(), COLOURS, strict=False):
        values = [figure(sample) for sample in soak.samples]
        axes.plot(x, [math.nan if value is None else value for value in values], color=colour, linewidth=1, label=label)


def _memory(axes: Axes, soak: Soak) -> None:
    _lines(axes, soak, {"mean of ten seconds": lambda s: s.rss_mb, "their least": lambda s: s.least_mb})
    settled = soak.settled
    axes.plot(
        [_minutes(soak, s) for s in settled],
        [s.rss_mb for s in settled],
        "o",
        ms=4,
        color="#d55e00",
        label="quiet moments",
    )
    if (line := memory_line(soak)) is not None:
        ends = [(soak.warm - soak.begin).total_seconds() / 3600, soak.seconds / 3600]
        told = f"{line.mb_h:+.2f} MB/h, 95 % ±{line.half_mb_h:.2f}"
        axes.plot(
            [60 * end for end in ends],
            [line.start_mb + line.mb_h * end for end in ends],
            "--",
            color="#000000",
            label=told,
        )
    axes.axvspan(
        0, (soak.warm - soak.begin).total_seconds() / 60, color="#f0e442", alpha=0.25, label="warm-up, not judged"
    )


def _spans(axes: Axes, soak: Soak) -> None:
    """Shade the time from a fault's begin to the recovery."""
    for fault in soak.happened:
        begin, end = _extent(soak, fault)
        axes.axvspan(begin, end, color="#999999", alpha=0.22, linewidth=0)


def _extent(soak: Soak, fault: Happened) -> tuple[float, float]:
    begin = (fault.begin - soak.begin).total_seconds() / 60
    end = ((fault.end or soak.end) - soak.begin).total_seconds() / 60 + (fault.back_s or 0.0) / 60
    return begin, end


def _marks(axes: Axes, soak: Soak) -> None:
    """Name each fault on a line of its kind; a cross is one it did not come back from in time."""
    kinds = list(dict.fromkeys(fault.name for fault in soak.happened))
    for fault in soak.happened:
        row, (begin, end) = kinds.index(fault.name), _extent(soak, fault)
        axes.plot([begin, end], [row, row], color=COLOURS[row % len(COLOURS)], linewidth=6, solid_capstyle="butt")
        # A short one is seen too.
        axes.plot([begin], [row], "|", color=COLOURS[row % len(COLOURS)], ms=9, mew=2)
        if not fault.recovered:
            axes.plot([end], [row], "x", color="#d00000", ms=10, mew=2.5)
    axes.set_yticks(range(len(kinds)), kinds, fontsize=8)
    axes.set_ylim(len(kinds) - 0.5, -0.5)
    axes.grid(color="#dddddd", linewidth=0.6)
