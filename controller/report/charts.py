"""The study's four charts: which rows they show, and in which order. :mod:`controller.report.drawing` draws them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from agent.wire.study import Spread, Study
from controller.report.compare import fastest, original
from controller.report.rows import PRECISIONS, Entry, at_one_size, entries, number, size, together

NOT_COMPARED: Final = "one frame at a time: not compared"
"""In place of a latency that says nothing beside the others."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of the study in a chart."""

    label: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class Group:
    """Bars that are compared with each other; the title is empty where there is one group alone."""

    title: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """Two panels over the same bars: frames a second, and latency."""

    name: str
    """For file names."""
    title: str
    groups: tuple[Group, ...]

    def latency_of(self, bar: Bar) -> Spread | None:
        """Its latency; None of the original model beside rows whose frames wait for each other."""
        queued = bar.entry.kind == "original" and any(other.entry.queues for other in self.bars)
        return None if queued else bar.entry.latency

    @property
    def bars(self) -> tuple[Bar, ...]:
        """All bars, from the top."""
        return tuple(bar for group in self.groups for bar in group.bars)

    @property
    def words(self) -> str:
        """What it shows, for who cannot see it."""
        latencies = [self.latency_of(bar) for bar in self.bars]
        each = [
            f"{bar.entry.name} {number(bar.entry.fps.mean)} and {number(latency.mean if latency else None)}"
            for bar, latency in zip(self.bars, latencies, strict=True)
        ]
        return f"{self.title}. Frames a second, and milliseconds of latency: {'; '.join(each)}."


def charts(study: Study) -> list[Chart]:
    """Those of the four for which rows were measured, all at one input size, and a fifth where there are several."""
    everything = tuple(entry for entry in entries(study) if entry.measured)
    measured = at_one_size(everything)
    found = (_devices(measured), _multi(measured), _precisions(measured), _hetero(measured), _sizes(everything))
    return [chart for chart in found if chart is not None]


def _devices(measured: tuple[Entry, ...]) -> Chart | None:
    """The original model, and of every device string, with that of its detector, its fastest row at one precision."""
    ours = [entry for entry in measured if entry.kind != "original"]
    precision = next((name for name in PRECISIONS if any(entry.precision == name for entry in ours)), "")
    here = [entry for entry in ours if entry.precision == precision]
    by_device = [
        fastest(same)
        for same in together(here, lambda entry: str((entry.row.recipe.device, entry.row.recipe.detector)))
    ]
    shown = [entry for entry in (original(measured), *by_device) if entry is not None]
    if not here:
        return None
    bars = tuple(Bar(entry.name_without("precision"), entry) for entry in shown)
    return Chart("devices", f"Original model against OpenVINO, {precision}", (Group("", bars),))


def _multi(measured: tuple[Entry, ...]) -> Chart | None:
    groups = tuple(_by_precision([entry for entry in measured if entry.kind in {"single", "MULTI"}]))
    if not any(bar.entry.kind == "MULTI" for group in groups for bar in group.bars):
        return None
    return Chart("multi", "Single devices against MULTI", groups)


def _precisions(measured: tuple[Entry, ...]) -> Chart | None:
    ours = [entry for entry in measured if entry.kind != "original"]
    groups = [
        Group(same[0].name_without("precision"), tuple(Bar(entry.precision, entry) for entry in same))
        for same in together(ours, lambda entry: entry.alike("precision"))
        if len(same) > 1
    ]
    return Chart("precisions", "Precisions", tuple(groups)) if groups else None


def _hetero(measured: tuple[Entry, ...]) -> Chart | None:
    cut = [entry for entry in measured if entry.kind == "HETERO"]
    groups = [
        Group(same[0].name_without("affinity"), tuple(Bar(_cut(entry), entry) for entry in same))
        for same in together(cut, lambda entry: entry.alike("affinity"))
    ]
    return Chart("hetero", "HETERO, by affinity", tuple(groups)) if groups else None


def _sizes(measured: tuple[Entry, ...]) -> Chart | None:
    ours = [entry for entry in measured if entry.kind != "original"]
    groups = [
        Group(same[0].name_without("long_side"), tuple(Bar(f"{entry.long_side} px", entry) for entry in same))
        for same in together(ours, lambda entry: entry.alike("long_side"))
        if len(same) > 1
    ]
    return Chart("sizes", "Input sizes", tuple(groups)) if groups else None


def _cut(entry: Entry) -> str:
    effective, moved = entry.row.effective, entry.row.bytes_moved
    pieces = None if effective is None else effective.submodels
    told = [] if pieces is None else [f"{pieces} submodel{'' if pieces == 1 else 's'}"]
    told += [] if moved is None else [f"{size(moved) if moved else 'nothing'} moved"]
    return f"{entry.row.recipe.affinity or 'no affinity'}\n{', '.join(told)}".rstrip()


def _by_precision(found: Iterable[Entry]) -> Iterator[Group]:
    for same in together(found, lambda entry: entry.precision):
        yield Group(same[0].precision, tuple(Bar(entry.name_without("precision"), entry) for entry in same))
