"""The rows of a study as a person reads them: their names, their figures in words, and which may be chosen."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from agent.wire.commands import PrecisionName
from agent.wire.devices import MODES
from agent.wire.study import Recipe, Row, Run, Spread, Study
from controller.client.fleet import printable

PRECISIONS: Final[tuple[str, ...]] = get_args(PrecisionName)
Kind = Literal["original", "single", "AUTO", "MULTI", "HETERO", "BATCH"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A row and how it is called among the others."""

    row: Row
    said: tuple[str, ...]
    """Which keys of the recipe its name is made of."""

    @property
    def name(self) -> str:
        """What it is called."""
        return self.name_without()

    def name_without(self, *keys: str) -> str:
        """What it is called where some keys are said elsewhere."""
        if self.kind == "original":
            return "original model"
        words = (_said(self.row.recipe, key) for key in self.said if key not in keys)
        return printable(" ".join(word for word in words if word))

    def alike(self, *keys: str) -> str:
        """Text that is the same for rows which differ in these keys alone."""
        return self.row.recipe.model_dump_json(exclude=set(keys))

    @property
    def long_side(self) -> int:
        """Pixels of the input; 0 of a row that has the study's own."""
        return self.row.recipe.long_side or 0

    @property
    def kind(self) -> Kind:
        """What the row runs on, in the terms of the study's questions."""
        mode = self.row.recipe.device.partition(":")[0]
        if self.row.recipe.engine == "original":
            return "original"
        return next((known for known in MODES if known == mode), "single")

    @property
    def precision(self) -> str:
        """The precision asked for."""
        return self.row.recipe.precision

    @property
    def measured(self) -> bool:
        """Whether it has the two figures everything is compared by."""
        return self.row.status == "measured" and self.row.fps is not None and self.row.latency_ms is not None

    @property
    def choosable(self) -> bool:
        """Whether it may be recommended: OpenVINO's, measured, and not known to lose people."""
        return self.measured and self.kind != "original" and self.row.accurate is not False

    @property
    def fps(self) -> Spread:
        """Frames a second; only of a row that is measured."""
        assert self.row.fps is not None
        return self.row.fps

    @property
    def latency(self) -> Spread:
        """Milliseconds of inference; only of a row that is measured."""
        assert self.row.latency_ms is not None
        return self.row.latency_ms

    @property
    def cpu_ms(self) -> float | None:
        """Milliseconds of processor time a frame, of one core; None without runs."""
        frames = sum(run.frames for run in self.row.runs)
        return sum(run.cpu_percent * run.seconds for run in self.row.runs) * 10 / frames if frames else None

    @property
    def disturbed(self) -> int:
        """Runs that count although they were disturbed, because every repetition was."""
        return sum(run.disturbed is not None for run in self.row.runs)

    @property
    def sound(self) -> bool:
        """Whether anything may be claimed of it: measured, and every run that counts was quiet."""
        return self.measured and not self.disturbed

    @property
    def in_work(self) -> int | None:
        """Frames it works on at once, each of which waits for the others; None where OpenVINO did not tell."""
        if self.kind == "original":
            return 1
        return self.row.effective.infer_requests if self.row.effective else None

    @property
    def queues(self) -> bool:
        """Whether its latency is that of a frame among several, as under the throughput hint."""
        return self.kind != "original" and self.row.recipe.hint == "throughput"

    @property
    def marks(self) -> tuple[str, ...]:
        """What a reader must know before believing the figures."""
        found = ["loses people" if self.row.accurate is False else "", "disturbed" if self.disturbed else ""]
        return tuple(mark for mark in found if mark)


def _said(recipe: Recipe, key: str) -> str | None:
    value = getattr(recipe, key)
    words = {"long_side": f"{value} px", "detector": f"detector on {value}"}
    return None if value is None else words.get(key, value)


def entries(study: Study) -> tuple[Entry, ...]:
    """Name every row; hint, network and input size are said only where rows differ in them."""
    recipes = [row.recipe for row in study.rows if row.recipe.engine == "openvino"]
    differing = [key for key in ("hint", "model", "long_side") if len({getattr(recipe, key) for recipe in recipes}) > 1]
    return tuple(Entry(row, ("device", "precision", "affinity", "detector", *differing)) for row in study.rows)


def at_one_size(found: Iterable[Entry]) -> tuple[Entry, ...]:
    """Those of the largest input that was measured, and the original model: what may be compared but for its size."""
    listed = tuple(found)
    largest = max((entry.long_side for entry in listed if entry.measured and entry.kind != "original"), default=0)
    return tuple(entry for entry in listed if entry.kind == "original" or entry.long_side == largest)


def together(found: Iterable[Entry], key: Callable[[Entry], str]) -> list[list[Entry]]:
    """Those with the same key in a list, in the order in which the first of each comes."""
    groups: dict[str, list[Entry]] = {}
    for entry in found:
        groups.setdefault(key(entry), []).append(entry)
    return list(groups.values())


def number(value: float | None) -> str:
    """Three digits or so; a dash for what is unknown."""
    if value is None:
        return "-"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else f"{value:,.0f}"


def percent(share: float | None) -> str:
    """One decimal below ten percent."""
    return "-" if share is None else f"{share:.1%}" if 0 < abs(share) < 0.1 else f"{share:.0%}"


def size(count: int | None) -> str:
    """Bytes in the unit that fits."""
    if count is None:
        return "-"
    for unit, factor in (("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:.2f} {unit}"
    return f"{count} B"


def spread(value: Spread | None) -> str:
    """Mean, least and most of the runs."""
    return "-" if value is None else f"{number(value.mean)} [{number(value.min)}..{number(value.max)}]"


def share(part: float | None, whole: float | None) -> float | None:
    """Part of a whole; None where there is none."""
    return None if part is None or not whole else part / whole


def missed(row: Row) -> float | None:
    """Of the people FP32 finds on the CPU, the fraction this row does not."""
    return share(row.agreement.missed, row.agreement.people) if row.agreement else None


def runs_on(row: Row) -> str:
    """What OpenVINO reports to have run, and in which precision."""
    effective = row.effective
    if effective is None:
        return "-"
    return printable(f"{', '.join(effective.execution_devices) or '-'} in {effective.inference_precision}")


def _status(entry: Entry) -> str:
    return ", ".join(entry.marks) or entry.row.status


def _of(value: float, whole: float | None, part: float | None) -> str:
    """A figure, and in brackets the part of a whole."""
    portion = share(part, whole)
    return number(value) + (f" ({percent(portion)})" if portion is not None else "")


def _raw(entry: Entry) -> str:
    limit, fps = entry.row.limit, entry.row.fps
    return "-" if limit is None else _of(limit.raw_fps, limit.raw_fps, fps.mean if fps else None)


def _gflops(entry: Entry) -> str:
    limit = entry.row.limit
    return "-" if limit is None else _of(limit.gflops, limit.peak_gflops, limit.gflops)


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of every row, and what it means."""

    heading: str
    meaning: str
    text: Callable[[Entry], str]
    figure: bool = True


COLUMNS: Final[Sequence[Column]] = (
    Column(
        "configuration",
        "Device, precision and, of HETERO, affinity; of two stages where the detector runs, if elsewhere; the long "
        "side of the input where rows differ in it. The original model is the same network in its original format, run "
        "by OpenCV's DNN module on the CPU.",
        lambda entry: entry.name,
        figure=False,
    ),
    Column(
        "status",
        "`unavailable` where the box lacks the device or the precision, `failed` where it has both. `loses people` for "
        "a measured row that fails the bar of accuracy: it is never chosen. `disturbed` where a run counts that was "
        "not quiet in any repetition: its figures are shown, and no sentence rests on them.",
        _status,
        figure=False,
    ),
    Column(
        "FPS",
        "Frames a second from the first frame of the clip to the last, through the application's own pipeline: mean "
        "over the runs, and the slowest and fastest run.",
        lambda entry: spread(entry.row.fps),
    ),
    Column(
        "CPU ms",
        "Milliseconds of processor time a frame, all cores added up: at 40 frames a second 25 of them are one core.",
        lambda entry: number(entry.cpu_ms),
    ),
    Column(
        "latency ms",
        "Inference of one frame, from its start to its result, waiting for the other frames in work included: mean of "
        "each run, then mean over the runs, the least and the most.",
        lambda entry: spread(entry.row.latency_ms),
    ),
    Column(
        "in work",
        "Frames that are computed or wait at the same time. The original model takes one at a time; beside a row with "
        "more, which is what the throughput hint is for, its latency cannot be compared.",
        lambda entry: str(entry.in_work) if entry.measured and entry.in_work is not None else "-",
    ),
    Column(
        "p95 ms",
        "95 of 100 frames had this latency or less, over the frames of all runs.",
        lambda entry: number(entry.row.latency_ms_p95),
    ),
    Column(
        "speed-up",
        "FPS over those of the original model.",
        lambda entry: f"{number(entry.row.speedup)}x" if entry.row.speedup is not None else "-",
    ),
    Column(
        "runs on",
        "The devices that OpenVINO reports to run it on, and the precision it computes in.",
        lambda entry: runs_on(entry.row),
        figure=False,
    ),
    Column(
        "submodels",
        "The pieces HETERO cut the network into.",
        lambda entry: (
            "-"
            if entry.row.effective is None or entry.row.effective.submodels is None
            else str(entry.row.effective.submodels)
        ),
    ),
    Column(
        "moved",
        "Bytes handed from one device of HETERO to another with each frame.",
        lambda entry: size(entry.row.bytes_moved),
    ),
    Column(
        "missed",
        "Of the people that FP32 finds on the CPU in the same frames, at the largest input that is measured, the share "
        "this row does not find.",
        lambda entry: percent(missed(entry.row)),
    ),
    Column(
        "raw FPS (reached)",
        "What the compiled network does without the application, and how much of it the application reaches.",
        _raw,
    ),
    Column(
        "GFLOP/s (of peak)",
        "Billions of operations a second at the raw rate, and how much that is of what the device reached on one large "
        "convolution in the same precision.",
        _gflops,
    ),
)


def runs_of(study: Study) -> list[tuple[Entry, int, Run]]:
    """Every run that counts, with its number from 1."""
    return [(entry, order, run) for entry in entries(study) for order, run in enumerate(entry.row.runs, 1)]
