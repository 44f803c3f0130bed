"""What a study found, in words. Every sentence rests on rows that were measured, and on quiet runs alone."""

from collections.abc import Iterator
from typing import Final

from agent.wire.study import Study
from agent.wire.wording import many
from controller.report.compare import UNSURE, Finding, answers, original, reference, sound, times
from controller.report.rows import Entry, entries, missed, number, percent, share

COMPUTED_IN: Final = {"FP32": "f32", "FP16": "f16"}
"""What OpenVINO calls the precision a file asks for; of INT8 it tells that of the layers which are not quantised."""


DOUBT: Final = (
    "The runs do not tell the two apart: round by round one is not ahead of the other by more than chance explains, or "
    "fewer than three rounds were quiet for both."
)
UNDECIDED: Final = (
    "The runs do not tell the best of these configurations from the next, in frames a second "
    "or in latency. Either will do, the simpler one for choice; to know better, stop what else runs on the box and "
    "measure again with more --runs."
)


THE_STUDY: Final = Finding(
    "The study",
    (
        "The one that this program was written after: human-pose-estimation-0001 of Intel's Open Model Zoo, the "
        "original model against OpenVINO on one device, on several with MULTI, and cut with HETERO, in FP32, FP16 and "
        "INT8. Its figures are those of its own machine and network: to be compared with, not to be reached.",
    ),
)


def conclusion(study: Study) -> list[Finding]:
    """What to run and why, the answers to the study's questions, and what to know before believing them."""
    found = entries(study)
    told = [
        *_state(study, found),
        *_recommended(study, found),
        *answers(found),
        *_latencies(found),
        *_computed_in(found),
        *_lost(study, found),
        *_trust(found),
    ]
    if any("The study found" in line for finding in told for line in finding.lines):
        told.append(THE_STUDY)
    if any(UNSURE in line for finding in told for line in finding.lines):
        told.append(
            Finding(
                UNSURE.strip(),
                (DOUBT,),
            )
        )
    return told


def best_of(study: Study, index: int | None, found: tuple[Entry, ...]) -> Entry | None:
    """Return the row the document names as the best, if it is one that may be chosen at all."""
    if index is None or not 0 <= index < len(found) or not found[index].choosable:
        return None
    return found[index]


def _state(study: Study, found: tuple[Entry, ...]) -> Iterator[Finding]:
    if study.finished_at is None:
        yield Finding("Unfinished", (f"The study has not ended; it has {many(len(found), 'row')} so far.",))
    if not any(entry.measured for entry in found):
        yield Finding("Nothing measured", ("Nothing can be compared and nothing chosen.",))


def _recommended(study: Study, found: tuple[Entry, ...]) -> Iterator[Finding]:
    measured = [entry for entry in found if entry.measured and entry.kind != "original"]
    quiet = sound(found)
    throughput, latency = (best_of(study, index, found) for index in (study.best_throughput, study.best_latency))
    if len(measured) == 1:
        (only,) = measured
        yield Finding("Measured", (_praise(only, quiet) if only.sound else _unquiet(only),))
    elif throughput is not None or latency is not None:
        if throughput is not None:
            yield Finding("Run", (_praise(throughput, quiet) if throughput.sound else _unquiet(throughput),))
        if latency is not None and latency is not throughput:
            told = _praise(latency, quiet) if latency.sound else _unquiet(latency)
            yield Finding("Run for the shortest latency", (told,))
    elif len([entry for entry in measured if entry.choosable]) > 1 and study.finished_at is not None:
        yield Finding("The data decide nothing", (UNDECIDED,))
    elif measured and study.finished_at is not None:
        yield Finding("Run", ("None of the configurations may be recommended.",))
    if study.applied is not None and 0 <= study.applied < len(found):
        yield Finding("Applied", (f"The box was told to switch to {found[study.applied].name}.",))


def _unquiet(entry: Entry) -> str:
    """What is said of the best where its runs were not quiet."""
    return (
        f"Nothing is claimed: {entry.name} came out best, and {entry.disturbed} of its "
        f"{many(len(entry.row.runs), 'run was', 'runs were')} disturbed. Measure again while the box is quiet."
    )


def _latencies(found: tuple[Entry, ...]) -> Iterator[Finding]:
    """Why the original model's latency says nothing beside OpenVINO's."""
    most = max((entry.in_work or 0 for entry in found if entry.measured and entry.queues), default=0)
    if original(found) is not None and most > 1:
        told = (
            f"The original model computes one frame at a time; under the throughput hint OpenVINO has up to {most} in "
            "work, and the latency of each holds its wait for the others. The two cannot be compared: "
            "`--hints latency` measures OpenVINO a frame at a time."
        )
        yield Finding("Latency, and the original model's", (told,))


def _praise(entry: Entry, found: tuple[Entry, ...]) -> str:
    fps, interval = entry.fps, entry.fps.interval
    sure = f" (95 % interval {number(interval[0])} to {number(interval[1])})" if interval else ""
    speed = f"{number(fps.mean)} frames a second{sure}, {number(entry.latency.mean)} ms of inference a frame"
    bases = {"the original model": original(found), "FP32 on the CPU": reference(found, entry)}
    over = [f"{times(entry, base)} {name}" for name, base in bases.items() if base and base is not entry]
    gains = f" That is {' and '.join(over)}." if over else ""
    loses = " It loses people and should not be run." if entry.row.accurate is False else ""
    return f"{entry.name}: {speed}.{gains}{_limit(entry)}{loses}"


def _limit(entry: Entry) -> str:
    limit = entry.row.limit
    reached = share(entry.fps.mean, limit.raw_fps) if limit else None
    if limit is None or reached is None:
        return ""
    of_peak = share(limit.gflops, limit.peak_gflops)
    peak = f", {percent(of_peak)} of the peak measured on this device" if of_peak is not None else ""
    return (
        f" The application reaches {percent(reached)} of the {number(limit.raw_fps)} frames a second that the compiled "
        f"network does by itself ({number(limit.gflops)} GFLOP/s{peak})."
    )


def _computed_in(found: tuple[Entry, ...]) -> Iterator[Finding]:
    other: dict[str, list[str]] = {}
    for entry in found:
        effective, expected = entry.row.effective, COMPUTED_IN.get(entry.precision)
        if entry.measured and effective and expected and effective.inference_precision.lower() != expected:
            told = f"{entry.precision} in {effective.inference_precision}"
            other.setdefault(told, []).append(entry.row.recipe.device)
    if other:
        lines = tuple(f"{told} on {', '.join(dict.fromkeys(devices))}." for told, devices in other.items())
        yield Finding("Computed in another precision than that of the file", lines)


def _lost(study: Study, found: tuple[Entry, ...]) -> Iterator[Finding]:
    losing = [entry for entry in found if entry.row.accurate is False]
    if losing:
        each = ", ".join(f"{entry.name} (misses {percent(missed(entry.row))})" for entry in losing)
        bar = f"at most {percent(study.bar.missed_max)} of the people missed, mean OKS {study.bar.oks_min:g} or more"
        yield Finding("Never chosen, because they lose people", (f"{each}.", f"The bar: {bar}."))
    unjudged = [entry.name for entry in found if entry.choosable and entry.row.accurate is None]
    if unjudged:
        yield Finding("Too few people in view to judge", (f"{', '.join(unjudged)}.",))


def _trust(found: tuple[Entry, ...]) -> Iterator[Finding]:
    disturbed = [f"{entry.name} ({entry.disturbed} of {len(entry.row.runs)})" for entry in found if entry.disturbed]
    if disturbed:
        lines = (f"{', '.join(disturbed)}.", "No sentence here rests on these rows; their figures stand in the table.")
        yield Finding("Disturbed runs that count, for want of quiet ones", lines)
    for status, topic in (("unavailable", "Not on this box"), ("failed", "Failed")):
        names = [entry.name for entry in found if entry.row.status == status]
        if names:
            yield Finding(topic, (f"{', '.join(names)}.",))
