"""Rows of a study against each other: its questions, answered in words, each only where rows were measured for it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from agent.wire.apart import told_apart
from controller.report.rows import PRECISIONS, Entry, at_one_size, missed, number, percent, share, size, together

STUDY_CPU: Final = 7
"""Times the original model that the study found OpenVINO to do on the CPU, and so on."""
STUDY_MULTI: Final = {"FP32": 9, "FP16": 13, "INT8": 17}
STUDY_MULTI_OVER_SINGLE: Final = 1.5
STUDY_HETERO_GAIN: Final = 0.18
UNSURE: Final = "≈ "
"""Before a comparison of two rows which their runs do not tell apart."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the rows show; one line or several."""

    topic: str
    lines: tuple[str, ...]


def original(found: Iterable[Entry]) -> Entry | None:
    """Return the row of the original model, if it was measured."""
    return next((entry for entry in found if entry.kind == "original" and entry.measured), None)


def sound(found: Iterable[Entry]) -> tuple[Entry, ...]:
    """Return those of which something may be claimed."""
    return tuple(entry for entry in found if entry.sound)


def reference(found: Iterable[Entry], like: Entry) -> Entry | None:
    """Return FP32 on the CPU, measured with the same hint and network."""
    wanted = like.row.recipe.model_copy(
        update={"engine": "openvino", "device": "CPU", "precision": "FP32", "affinity": None, "detector": None}
    )
    return next((entry for entry in found if entry.measured and entry.row.recipe == wanted), None)


def fastest(found: Iterable[Entry]) -> Entry | None:
    """Return the one with the most frames a second."""
    return max(found, key=lambda entry: entry.fps.mean, default=None)


def ratio(entry: Entry, base: Entry) -> float | None:
    """Return the frames a second of one row over those of another."""
    return share(entry.fps.mean, base.fps.mean)


def times(entry: Entry, base: Entry) -> str:
    """The ratio in words, and whether the runs tell the two apart."""
    return f"{_unsure(entry, base)}{number(ratio(entry, base))} times"


def answers(found: tuple[Entry, ...]) -> Iterator[Finding]:
    """OpenVINO on the CPU, MULTI, precisions, HETERO: what the study asked, in its order; of quiet runs alone."""
    everything = sound(found)
    measured = at_one_size(everything)
    yield from _cpu(measured)
    yield from _multi_over_original(measured)
    yield from _multi_over_single(measured)
    yield from _precisions(measured)
    yield from _cuts(measured)
    yield from _hetero_over_single(measured)
    yield from _sizes(everything)


def _unsure(one: Entry, other: Entry) -> str:
    return "" if told_apart(one.row, other.row) else UNSURE


def _of(measured: Iterable[Entry], kind: str, precision: str) -> list[Entry]:
    return [entry for entry in measured if entry.kind == kind and entry.precision == precision]


def _cpu(measured: tuple[Entry, ...]) -> Iterator[Finding]:
    base = original(measured)
    ours = _of(measured, "single", "FP32")
    best = fastest(entry for entry in ours if (entry.row.recipe.device, entry.row.recipe.detector) == ("CPU", None))
    if base is not None and best is not None:
        line = f"{best.name} does {times(best, base)} the frames of the original model. The study found {STUDY_CPU}."
        yield Finding("OpenVINO on the CPU", (line,))


def _multi_over_original(measured: tuple[Entry, ...]) -> Iterator[Finding]:
    base = original(measured)
    lines = [
        f"{best.name}: {times(best, base)}. The study found {STUDY_MULTI[precision]}."
        for precision in PRECISIONS
        if base is not None and (best := fastest(_of(measured, "MULTI", precision))) is not None
    ]
    if lines:
        yield Finding("MULTI over the original model", tuple(lines))


def _multi_over_single(measured: tuple[Entry, ...]) -> Iterator[Finding]:
    lines = []
    for precision in PRECISIONS:
        best, single = (fastest(_of(measured, kind, precision)) for kind in ("MULTI", "single"))
        if best is not None and single is not None:
            lines.append(f"{best.name} does {times(best, single)} the frames of {single.name}.")
    if lines:
        lines[-1] += f" The study found {STUDY_MULTI_OVER_SINGLE} times."
        yield Finding("MULTI over the best single device", tuple(lines))


def _precisions(measured: tuple[Entry, ...]) -> Iterator[Finding]:
    lines = []
    for group in together(measured, lambda entry: entry.alike("precision")):
        by_precision = {entry.precision: entry for entry in group if entry.kind != "original"}
        base = by_precision.pop("FP32", None)
        if base is None or not by_precision:
            continue
        told = [
            f"{name} {times(entry, base)}{' (loses people)' if entry.row.accurate is False else ''}"
            for name in PRECISIONS
            if (entry := by_precision.get(name)) is not None
        ]
        lines.append(f"{base.name}: {', '.join(told)}.")
    if lines:
        yield Finding("Precisions, over FP32 on the same device", tuple(lines))


def _sizes(measured: tuple[Entry, ...]) -> Iterator[Finding]:
    for group in together(measured, lambda entry: entry.alike("long_side")):
        largest, *smaller = sorted(group, key=lambda entry: -entry.long_side)
        if not smaller:
            continue
        told = [
            f"{entry.long_side} px {times(entry, largest)}, missing {percent(missed(entry.row))} of the people"
            for entry in smaller
        ]
        yield Finding(f"Input sizes, over {largest.name}", (f"{'; '.join(told)}.",))


def _cuts(measured: tuple[Entry, ...]) -> Iterator[Finding]:
    cut = [entry for entry in measured if entry.kind == "HETERO"]
    for group in together(cut, lambda entry: entry.alike("affinity")):
        first, *others = sorted(group, key=lambda entry: -entry.fps.mean)
        lines = [f"{_cut(first)}.", *(f"{_cut(entry)}{_slower(entry, first)}." for entry in others)]
        yield Finding(f"Cuts of {first.row.recipe.device} at {first.precision}", tuple(lines))


def _hetero_over_single(measured: tuple[Entry, ...]) -> Iterator[Finding]:
    lines = []
    for precision in PRECISIONS:
        best, single = (fastest(_of(measured, kind, precision)) for kind in ("HETERO", "single"))
        gain = ratio(best, single) if best and single else None
        if best is not None and single is not None and gain is not None:
            more = "more" if gain >= 1 else "fewer"
            unsure = _unsure(best, single)
            lines.append(f"{best.name} does {unsure}{percent(abs(gain - 1))} {more} frames than {single.name}.")
    if lines:
        lines[-1] += f" The study found {percent(STUDY_HETERO_GAIN)} more."
        yield Finding("HETERO over the best single device", tuple(lines))


def _cut(entry: Entry) -> str:
    effective, moved = entry.row.effective, entry.row.bytes_moved
    facts = [f"{number(entry.fps.mean)} frames a second", f"{number(entry.latency.mean)} ms"]
    if effective is not None and effective.submodels is not None:
        facts.append(f"{effective.submodels} submodel{'' if effective.submodels == 1 else 's'}")
    if moved is not None:
        facts.append(f"{size(moved)} moved a frame" if moved else "nothing moved")
    return f"{entry.row.recipe.affinity or 'no affinity'}: {', '.join(facts)}"


def _slower(entry: Entry, first: Entry) -> str:
    """What the further cuts cost, where it has more of them than the first."""
    pair = (entry.row.effective, first.row.effective)
    pieces = [effective.submodels for effective in pair if effective is not None and effective.submodels is not None]
    longer_ms = entry.latency.mean - first.latency.mean
    if len(pieces) < 2 or pieces[0] <= pieces[1] or longer_ms <= 0:
        return ""
    more = pieces[0] - pieces[1]
    if more == 1:
        return f"; {number(longer_ms)} ms longer for one more submodel"
    return f"; {number(longer_ms)} ms longer for {more} more submodels, {number(longer_ms / more)} ms each"
