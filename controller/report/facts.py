"""What stands around the figures of a study: the machine, the versions, what was asked, and why rows have none."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agent.wire.study import Run, Study
from agent.wire.wording import many
from controller.client.fleet import printable
from controller.report.rows import Entry, entries, number, percent

TITLE: Final = "Study of {}"


@dataclass(frozen=True, slots=True)
class Fact:
    """A name and what it is."""

    name: str
    value: str


def title(study: Study) -> str:
    """What the report is called."""
    return TITLE.format(printable(study.device_id))


def facts(study: Study) -> list[Fact]:
    """Everything somebody needs to repeat it."""
    host, clip = study.host, study.clip
    height, width = study.input
    rate = "" if clip.fps is None else f" at {number(clip.fps)} frames a second"
    asked = [f"{name} {value if isinstance(value, str) else json.dumps(value)}" for name, value in study.asked.items()]
    bar = f"at most {percent(study.bar.missed_max)} of the people missed, mean OKS {study.bar.oks_min:g} or more"
    told = {
        "started": f"{study.started_at:%Y-%m-%d %H:%M:%S %Z}",
        "finished": f"{study.finished_at:%Y-%m-%d %H:%M:%S %Z}" if study.finished_at else "not yet",
        "machine": f"{host.hostname}: {host.cpu}, {host.cores} cores, {host.memory_mb:,} MB, {host.os}",
        "how quiet": _quiet(study),
        "devices": "; ".join(f"{name}: {full}" for name, full in study.devices.items()),
        "versions": f"edgepose {study.agent_version}, OpenVINO {study.openvino_version}, OpenCV {study.opencv_version}",
        "network": f"{study.model}, input {width} x {height}, {number(study.gflops_per_frame)} GFLOP a frame",
        "clip": f"{clip.name}: {clip.frames:,} frames a run, {clip.width} x {clip.height}{rate}",
        "asked": "; ".join(asked) or "nothing beyond the defaults",
        "bar of accuracy": bar,
    }
    return [Fact(name, printable(value)) for name, value in told.items()]


def _quiet(study: Study) -> str:
    """What other processes took of the machine, and how many runs were disturbed by it."""
    runs = [run for row in study.rows for run in row.runs]
    others = sorted(run.others_percent for run in runs if run.others_percent is not None)
    disturbed = sum(row.disturbed_runs for row in study.rows)
    told = (
        f"{many(disturbed, 'run was', 'runs were')} disturbed; {many(len(runs), 'counts', 'count')}"
        if disturbed
        else f"all {len(runs)} runs were quiet"
    )
    if not others:
        return told
    middle, most = number(others[len(others) // 2]), number(others[-1])
    return f"{told}; others took {middle} % of the machine in the median, {most} % at most"


def reasons(study: Study) -> list[tuple[Entry, str]]:
    """Rows without figures, and why."""
    return [
        (entry, printable(entry.row.reason) or "no reason given")
        for entry in entries(study)
        if entry.row.status != "measured"
    ]


RUN_HEADINGS: Final[Sequence[str]] = (
    "configuration",
    "run",
    "frames",
    "seconds",
    "FPS",
    "latency ms: mean",
    "least",
    "most",
    "p50",
    "p95",
    "p99",
    "stages ms",
    "CPU %",
    "others %",
    "RSS MB",
    "°C",
    "throttled",
    "disturbed",
)
RUN_MEANING: Final = (
    "CPU %: of the agent, 100 is one core. Others %: what other processes took of the whole machine meanwhile. A dash "
    "is what the machine cannot tell."
)


def run_cells(entry: Entry, order: int, run: Run) -> list[str]:
    """One run as texts below the headings."""
    stages = ", ".join(f"{name} {number(ms)}" for name, ms in run.stages_ms.items())
    throttled = "-" if run.throttled is None else "yes" if run.throttled else "no"
    latencies = (
        run.latency_ms_mean,
        run.latency_ms_min,
        run.latency_ms_max,
        run.latency_ms_p50,
        run.latency_ms_p95,
        run.latency_ms_p99,
    )
    cells = [entry.name, str(order), str(run.frames), number(run.seconds), number(run.fps)]
    cells += [number(latency) for latency in latencies]
    cells += [printable(stages), number(run.cpu_percent), number(run.others_percent), number(run.rss_mb)]
    return [*cells, number(run.temperature_c), throttled, printable(run.disturbed or "no")]
