"""A study as a box with one processor under two names would make it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from agent.wire.commands import Agreement
from agent.wire.messages import Effective, HostInfo
from agent.wire.study import Bar, Clip, Limit, Recipe, Row, Run, Spread, Study
from tests import samples

MODEL: Final = "movenet-multipose"
GFLOPS_PER_FRAME: Final = 2.9
CUTS: Final = {"fallback": (1, 0), "split": (2, 1_245_184), "convolutions": (74, 14_680_064)}
"""Affinity to submodels and bytes moved."""
SPEED: Final = {"FP32": 1.0, "FP16": 1.02, "INT8": 1.9}


@dataclass(frozen=True)
class Told:
    """What a row of the example is made of."""

    fps: float
    latency_ms: float
    runs: int = 3
    wobble: float = 0.02
    """Of the fastest and slowest run around the mean."""
    missed: int = 0
    disturbed: tuple[int, ...] = ()


def spread(values: list[float]) -> Spread:
    """Any spread will do for those who only show it; that of the measurement has tests of its own."""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return Spread(mean=mean, min=mean, max=mean, deviation=None, interval=None)
    half = (max(values) - min(values)) / 2
    return Spread(mean=mean, min=min(values), max=max(values), deviation=half, interval=(mean - half, mean + half))


def run(fps: float, latency_ms: float, *, disturbed: bool = False) -> Run:
    stages = {"capture": 0.7, "prepare": 0.4, "infer": latency_ms, "decode": 0.3, "track": 0.1, "publish": 0.2}
    return Run(
        frames=200,
        seconds=200 / fps,
        fps=fps,
        latency_ms_mean=latency_ms,
        latency_ms_min=latency_ms * 0.8,
        latency_ms_max=latency_ms * 2.2,
        latency_ms_p50=latency_ms * 0.98,
        latency_ms_p95=latency_ms * 1.3,
        latency_ms_p99=latency_ms * 1.7,
        stages_ms=stages,
        cpu_percent=187.5,
        others_percent=2.5,
        rss_mb=412.0,
        temperature_c=None,
        throttled=None,
        disturbed="other processes took 31 % of the processor" if disturbed else None,
    )


def measured(recipe: Recipe, told: Told, original_fps: float | None = None) -> Row:
    """A row with runs around the figures told."""
    factors = [1 + told.wobble * (2 * number / max(1, told.runs - 1) - 1) for number in range(told.runs)]
    factors = [1.0] if told.runs == 1 else factors
    runs = tuple(
        run(told.fps * factor, told.latency_ms / factor, disturbed=number in told.disturbed)
        for number, factor in enumerate(factors)
    )
    fps = spread([each.fps for each in runs])
    row = Row(
        recipe=recipe,
        status="measured",
        runs=runs,
        fps=fps,
        latency_ms=spread([each.latency_ms_mean for each in runs]),
        latency_ms_p50=told.latency_ms * 0.98,
        latency_ms_p95=told.latency_ms * 1.3,
        latency_ms_p99=told.latency_ms * 1.7,
        speedup=fps.mean / original_fps if original_fps else None,
        disturbed_runs=len(told.disturbed),
    )
    return row if recipe.engine == "original" else row.model_copy(update=_of_openvino(recipe, told))


def _of_openvino(recipe: Recipe, told: Told) -> dict[str, Any]:
    submodels, moved = CUTS.get(recipe.affinity or "", (None, None))
    effective = Effective(
        execution_devices=tuple(recipe.device.rpartition(":")[2].split(",")),
        model_precision=recipe.precision,
        inference_precision="bf16" if recipe.precision == "FP16" else "f32",
        submodels=submodels,
        infer_requests=2,
        compile_ms=812.4,
        first_infer_ms=14.2,
        from_cache=False,
        engine=3,
    )
    agreement = Agreement(
        frames=200, people=640, missed=told.missed, invented=3, mean_oks=0.97 if told.missed < 20 else 0.88
    )
    raw = told.fps / 0.84
    peak = 320.0 * SPEED[recipe.precision]
    limit = Limit(raw_fps=raw, gflops=raw * GFLOPS_PER_FRAME, peak_gflops=peak)
    accurate = told.missed / 640 <= 0.05
    return {
        "effective": effective,
        "bytes_moved": moved,
        "agreement": agreement,
        "accurate": accurate,
        "limit": limit,
    }


def unmeasured(recipe: Recipe, status: str, reason: str) -> Row:
    return Row(recipe=recipe, status=status, reason=reason)  # type: ignore[arg-type]


def recipe(
    device: str,
    precision: str,
    affinity: str | None = None,
    hint: str | None = "throughput",
    long_side: int | None = None,
    detector: str | None = None,
) -> Recipe:
    return Recipe.model_validate(
        {
            "engine": "openvino",
            "model": MODEL,
            "device": device,
            "precision": precision,
            "affinity": affinity,
            "hint": hint,
            "long_side": long_side,
            "detector": detector,
        }
    )


ORIGINAL: Final = Recipe(engine="original", model=MODEL, device="CPU", precision="FP32")


def rows(*, multi: str = "MULTI:SIMCPU,CPU", hetero: str = "HETERO:SIMCPU,CPU") -> tuple[Row, ...]:
    """Everything the study asks, with a graphics card and an NPU that are not there."""
    base = measured(ORIGINAL, Told(12.0, 83.0))
    original_fps = base.fps.mean if base.fps else 0.0
    found = [base]
    for precision, speed in SPEED.items():
        lost = 96 if precision == "INT8" else 4 if precision == "FP16" else 0
        for device, fps in (("CPU", 74.0), ("SIMCPU", 73.2), (multi, 75.5)):
            # The INT8 of SIMCPU passes, so that something may be chosen from all three precisions.
            missed = 12 if (device, precision) == ("SIMCPU", "INT8") else lost
            told = Told(fps * speed, 2000 / (fps * speed), missed=missed)
            found.append(measured(recipe(device, precision), told, original_fps))
        disturbed = (1,) if precision == "INT8" else ()
        for affinity, share in (("fallback", 0.98), ("convolutions", 0.17), ("split", 0.79)):
            told = Told(
                74.0 * speed * share,
                2000 / (74.0 * speed * share),
                missed=lost,
                disturbed=disturbed,
            )
            found.append(measured(recipe(hetero, precision, affinity), told, original_fps))
        for device in ("GPU", "NPU"):
            reason = f"{device} is not on this box: devices here: CPU, SIMCPU"
            found.append(unmeasured(recipe(device, precision), "unavailable", reason))
    found.append(unmeasured(recipe("AUTO", "FP32"), "failed", "compile_failed: no kernel for <Interpolate> & 'TopK'"))
    return tuple(found)


def study(found: tuple[Row, ...] | None = None, **changes: Any) -> Study:
    """The document; the best are those of ``rows``."""
    found = rows() if found is None else found
    may = [
        (number, row)
        for number, row in enumerate(found)
        if row.status == "measured" and row.recipe.engine == "openvino" and row.accurate is not False
    ]
    fast = max(may, key=lambda each: each[1].fps.mean if each[1].fps else 0.0, default=(None, None))[0]
    soon = min(may, key=lambda each: each[1].latency_ms.mean if each[1].latency_ms else 0.0, default=(None, None))[0]
    facts: dict[str, Any] = {
        "device_id": "gym-01",
        "started_at": samples.NOW,
        "finished_at": samples.NOW + timedelta(minutes=47),
        "agent_version": "0.1.0",
        "openvino_version": "2026.4.1",
        "opencv_version": "5.0.0",
        "host": HostInfo(hostname="gym-01", os="Debian 12", cpu="Intel N100", cores=4, memory_mb=7800),
        "devices": {"CPU": "Intel N100", "SIMCPU": "Intel N100"},
        "model": MODEL,
        "input": (192, 256),
        "gflops_per_frame": GFLOPS_PER_FRAME,
        "clip": Clip(name="vtest", frames=200, width=768, height=576, fps=10.0),
        "bar": Bar(missed_max=0.05, oks_min=0.9),
        "asked": {"runs": 3, "frames": 200, "devices": ["CPU", "SIMCPU"]},
        "rows": found,
        "best_throughput": fast,
        "best_latency": soon,
    }
    return Study(**(facts | changes))
