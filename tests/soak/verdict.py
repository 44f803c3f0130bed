"""What a soak showed, and whether the promises were kept."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agent.wire.apart import student_t
from agent.wire.messages import Metrics

WARM_UP_MAX_S: Final = 600.0
STRETCH_MAX_S: Final = 600.0
"""First and last so many seconds are compared; half of what there is where that is shorter."""
GROWTH_MB_H: Final = 1.0
LEFT_KB: Final = GROWTH_MB_H * 1024 / 60
"""By one fault: that growth, at a fault a minute."""
WARM_FAULTS: Final = 100
"""After which the agent remembers as much as it ever does, and engines have left in the heap what they leave once."""
JUDGED_MIN_S: Final = 1800.0
"""Memory that is watched for less after the warm-up is told and not judged: it still settles."""
RATIO_MAX: Final = 1.2
Array = NDArray[np.float64]
GRACE: Final = timedelta(seconds=3)
"""A log line may come so long after what it tells of."""


def warm_up_s(seconds: float) -> float:
    """How much of so long a soak is not judged."""
    return min(WARM_UP_MAX_S, seconds / 10)


@dataclass(frozen=True, slots=True)
class Sample:
    """The agent at one moment; figures of its last window are None where none came for a while."""

    at: datetime
    fault: str
    """What goes on; empty between faults."""
    quiet: bool
    """Taken right before a fault, when the one before has long been over."""
    rss_mb: float
    """The mean of the last ten seconds, as the next."""
    anon_mb: float
    least_mb: float
    """Resident right after the agent gave back what was free."""
    descriptors: int
    threads: int
    fps: float | None
    latency_ms_p50: float | None
    latency_ms_p99: float | None
    age_ms_p99: float | None


@dataclass(slots=True)
class Happened:
    """A fault, and how the agent came back."""

    name: str
    bound_s: float
    explains: frozenset[str]
    begin: datetime
    end: datetime | None = None
    back_s: float | None = None
    """From its end to poses; None where none came."""
    over: bool = False
    """Poses have come, or are not waited for any more."""
    wrong: str = ""
    """What the agent did meanwhile that it should not have."""

    @property
    def recovered(self) -> bool:
        return self.back_s is not None and self.back_s <= self.bound_s and not self.wrong

    def covers(self, begin: datetime, end: datetime) -> bool:
        """Tell whether it, or the return from it, touches this time."""
        if not self.over or self.end is None:
            return end >= self.begin
        return begin <= self.end + timedelta(seconds=self.back_s or 0.0) + GRACE and end >= self.begin


@dataclass(slots=True)
class Soak:
    """All that was seen."""

    begin: datetime
    end: datetime
    samples: list[Sample] = field(default_factory=list)
    happened: list[Happened] = field(default_factory=list)
    windows: list[Metrics] = field(default_factory=list)
    log: list[dict[str, Any]] = field(default_factory=list)
    plain: list[str] = field(default_factory=list)
    """Lines of standard error that are no log."""
    code: int | None = None
    """The agent's exit code."""
    asked_to_end: bool = False

    @property
    def seconds(self) -> float:
        return (self.end - self.begin).total_seconds()

    @property
    def warm(self) -> datetime:
        """The end of the warm-up."""
        return self.begin + timedelta(seconds=warm_up_s(self.seconds))

    @property
    def settled(self) -> list[Sample]:
        """Quiet samples after the warm-up."""
        return [sample for sample in self.samples if sample.quiet and sample.at >= self.warm]


@dataclass(frozen=True, slots=True)
class Promise:
    """One line of the table."""

    name: str
    promised: str
    measured: str
    kept: bool | None
    """None: what was measured cannot tell."""


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line through the memory at quiet moments."""

    start_mb: float
    mb_h: float
    half_mb_h: float
    """Half the 95 % interval of the slope."""


def memory_line(soak: Soak, figure: str = "rss_mb") -> Line | None:
    """Least squares over the quiet samples, each compared with those before the same kind of fault.

    What a fault leaves behind until the next engine is closed comes again with every round: a line through all moments
    would take that for scatter. Memory also comes in steps, so neighbours are alike: the interval is widened by the
    correlation of what is left.
    """
    settled = soak.settled
    kinds = [_next_fault(soak, sample) for sample in settled]
    if (freedom := len(settled) - len(set(kinds)) - 1) < 1:
        return None
    hours = np.array([(sample.at - soak.begin).total_seconds() / 3600 for sample in settled])
    held = np.array([float(getattr(sample, figure)) for sample in settled])
    x, y = _within(hours, kinds), _within(held, kinds)
    if not x.any():
        return None
    slope, half = _slope(x, y, freedom)
    return Line(float(held.mean() - slope * hours.mean()), slope, half)


def _slope(x: Array, y: Array, freedom: int) -> tuple[float, float]:
    """Of a line through points whose means are 0, and half its 95 % interval."""
    slope = float(np.dot(x, y) / np.dot(x, x))
    rest = y - slope * x
    alike = float(np.dot(rest[1:], rest[:-1]) / np.dot(rest, rest)) if np.dot(rest, rest) > 0 else 0.0
    alike = min(max(alike, 0.0), 0.95)
    spread = math.sqrt(float(np.dot(rest, rest)) / freedom / float(np.dot(x, x)))
    return slope, student_t(freedom) * spread * math.sqrt((1 + alike) / (1 - alike))


def _next_fault(soak: Soak, sample: Sample) -> str:
    return next((fault.name for fault in soak.happened if fault.begin >= sample.at), "the end")


def _within(values: Array, kinds: Sequence[str]) -> Array:
    """Each value less the mean of its kind."""
    means = {kind: float(values[[each == kind for each in kinds]].mean()) for kind in set(kinds)}
    return np.array([value - means[kind] for value, kind in zip(values, kinds, strict=True)])


def _memory(soak: Soak) -> Promise:
    promised = f"less than {GROWTH_MB_H:g} MB an hour"
    line, least = memory_line(soak), memory_line(soak, "least_mb")
    if line is None or least is None:
        return Promise("memory grows", promised, "too few quiet moments", None)
    low, high = line.mb_h - line.half_mb_h, line.mb_h + line.half_mb_h
    measured = f"{line.mb_h:+.2f} MB/h, 95 % between {low:+.2f} and {high:+.2f}, {len(soak.settled)} moments"
    measured += f"; the least of a window {least.mb_h:+.2f} ± {least.half_mb_h:.2f}"
    kept: bool | None = None
    if (soak.end - soak.warm).total_seconds() < JUDGED_MIN_S:
        measured += f": {soak.seconds / 60:.0f} min are too short to judge"
    elif (kept := _below(low, high, GROWTH_MB_H)) is None:
        measured += f": {soak.seconds / 3600:.2g} h cannot resolve it"
    return Promise("memory grows", promised, measured, kept)


def _left_by_faults(soak: Soak) -> Promise:
    """A line through the quiet samples by the number of faults before each, not those of the warm-up."""
    name, promised = "memory a fault", f"less than {LEFT_KB:.0f} kB"
    quiet = [sample for sample in soak.samples if sample.quiet]
    faults = np.array([sum(fault.begin < sample.at for fault in soak.happened) for sample in quiet], np.float64)
    warm = faults >= max(WARM_FAULTS, len(soak.happened) / 3)
    if (freedom := int(warm.sum()) - 2) < 1:
        return Promise(name, promised, f"{len(soak.happened)} faults are too few", None)
    held_kb = np.array([sample.anon_mb * 1024 for sample in quiet])[warm]
    slope, half = _slope(faults[warm] - faults[warm].mean(), held_kb - held_kb.mean(), freedom)
    low, high = slope - half, slope + half
    measured = f"{slope:+.1f} kB, 95 % between {low:+.1f} and {high:+.1f}, {freedom + 2} moments"
    measured += f" after {faults[warm][0]:.0f} faults; at a fault a minute {slope * 60 / 1024:+.2f} MB an hour"
    return Promise(name, promised, measured, _below(low, high, LEFT_KB))


def _below(low: float, high: float, bound: float) -> bool | None:
    """Whether all of an interval is below; None where only a part of it is."""
    if high < bound:
        return True
    return False if low >= bound else None


def _constant(soak: Soak, what: str) -> Promise:
    values = [int(getattr(sample, what)) for sample in soak.settled]
    if len(values) < 2:
        return Promise(f"{what} at quiet moments", "constant", "too few quiet moments", None)
    measured = f"{min(values)} to {max(values)}" if len(set(values)) > 1 else f"{values[0]}"
    return Promise(f"{what} at quiet moments", "constant", f"{measured}, {len(values)} moments", len(set(values)) == 1)


def _steady(soak: Soak, figure: str, *, faulted: bool) -> Promise:
    """Compare like with like: windows that a fault or a recovery touches, or those that none does."""
    span = timedelta(seconds=min(STRETCH_MAX_S, (soak.end - soak.warm).total_seconds() / 2))
    chosen = [window for window in soak.windows if _touched(soak, window) is faulted]
    first = _median(chosen, figure, soak.warm, soak.warm + span)
    last = _median(chosen, figure, soak.end - span, soak.end)
    name = f"{figure.replace('_ms_', ' ')}, {'amid faults' if faulted else 'between faults'}"
    promised = f"last {span.total_seconds() / 60:.3g} min at most {RATIO_MAX:g} x first"
    if first is None or last is None:
        return Promise(name, promised, "too few windows", None)
    return Promise(name, promised, f"{last / first:.2f} x ({first:.1f} to {last:.1f} ms)", last <= RATIO_MAX * first)


def _touched(soak: Soak, window: Metrics) -> bool:
    begin = window.sent_at - timedelta(seconds=window.window_s)
    return any(fault.covers(begin, window.sent_at) for fault in soak.happened)


def _median(windows: Sequence[Metrics], figure: str, begin: datetime, end: datetime) -> float | None:
    values = [getattr(window, figure) for window in windows if begin <= window.sent_at <= end]
    told = [float(value) for value in values if value is not None]
    return statistics.median(told) if len(told) > 2 else None


def _recoveries(soak: Soak) -> Iterable[Promise]:
    for name in dict.fromkeys(fault.name for fault in soak.happened):
        times = [fault for fault in soak.happened if fault.name == name and fault.over]  # not what Ctrl-C cut short
        back = [fault.back_s for fault in times if fault.back_s is not None]
        wrong = next((f"; {fault.wrong}" for fault in times if fault.wrong), "")
        measured = f"{sum(fault.recovered for fault in times)} of {len(times)}"
        measured += f", slowest {max(back):.1f} s{wrong}" if back else wrong
        yield Promise(
            f"back after: {name}",
            f"poses within {times[0].bound_s:g} s" if times else "",
            measured,
            all(fault.recovered for fault in times) if times else None,
        )


def unexplained(soak: Soak) -> list[str]:
    """Warnings and errors of the log that no fault explains, and lines beside the log."""
    found = []
    for entry in soak.log:
        at = datetime.fromisoformat(entry["timestamp"])
        grave = entry["level"] not in {"debug", "info"} or "exception" in entry
        known = any(entry["event"] in fault.explains and fault.covers(at, at) for fault in soak.happened)
        if grave and (not known or "exception" in entry):
            found.append(f"{entry['timestamp']} {entry['level']} {entry['event']}")
    return found + soak.plain


def _log(soak: Soak) -> Promise:
    found = unexplained(soak)
    return Promise(
        "warnings, errors in the log", "only what a fault explains", "; ".join([f"{len(found)}", *found[:3]]), not found
    )


def _ending(soak: Soak) -> Promise:
    measured = f"exit code {soak.code}" + ("" if soak.asked_to_end else ", by itself")
    return Promise("agent", "runs on; exit code 0 when asked to end", measured, soak.asked_to_end and soak.code == 0)


def judge(soak: Soak) -> list[Promise]:
    """The table."""
    steady = [
        _steady(soak, figure, faulted=faulted)
        for figure in ("latency_ms_p99", "age_ms_p99")
        for faulted in (False, True)
    ]
    constant = [_constant(soak, what) for what in ("descriptors", "threads")]
    return [_ending(soak), _memory(soak), *constant, *steady, *_recoveries(soak), _log(soak)]


def judge_rounds(soak: Soak) -> list[Promise]:
    """The table where faults came one right after the other, of which no latency tells anything."""
    constant = [_constant(soak, what) for what in ("descriptors", "threads")]
    return [_ending(soak), _left_by_faults(soak), *constant, *_recoveries(soak), _log(soak)]


def verdict(soak: Soak, promises: Sequence[Promise]) -> dict[str, Any]:
    """Everything `soak.json` says."""
    line = memory_line(soak)
    return {
        "begin": soak.begin.isoformat(),
        "seconds": round(soak.seconds, 1),
        "kept": all(promise.kept is not False for promise in promises),
        "unresolved": [promise.name for promise in promises if promise.kept is None],
        "memory": asdict(line) if line else None,
        "promises": [asdict(promise) for promise in promises],
        "faults": [
            {"name": fault.name, "begin": fault.begin.isoformat(), "back_s": fault.back_s, "wrong": fault.wrong}
            for fault in soak.happened
        ],
        "unexplained": unexplained(soak),
    }
