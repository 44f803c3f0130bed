"""Trials for tests: what a configuration did is what the test says."""

from typing import Any

from agent.wire.commands import Agreement
from agent.wire.study import Recipe
from agent.wire.tuning import AtPace, Trial


def recipe(**changes: Any) -> Recipe:
    plain = {"engine": "openvino", "model": "movenet-multipose", "device": "CPU", "precision": "FP32"}
    return Recipe.model_validate(plain | {"hint": "latency", "long_side": 256} | changes)


def at_pace(asked: float = 10.0, fps: float = 10.0, age_ms: float = 50.0, cpu: float = 40.0) -> AtPace:
    return AtPace(fps_asked=asked, fps=fps, age_ms_p50=age_ms / 2, age_ms_p95=age_ms, cpu_percent=cpu)


def trial(
    quality: float | None = 0.5,
    fps: float = 40.0,
    cpu_ms: float = 40.0,
    latency_ms: float = 30.0,
    *,
    seen: AtPace | None = None,
    accurate: bool | None = True,
    disturbed: str | None = None,
    **changes: Any,
) -> Trial:
    """One that was measured, at the camera's pace as well where ``seen`` says how it did there."""
    return Trial(
        recipe=recipe(**changes),
        status="measured",
        input=(192, 256),
        fps=fps,
        latency_ms=latency_ms,
        cpu_ms=cpu_ms,
        agreement=Agreement(frames=10, people=40, missed=10, invented=2, mean_oks=0.9),
        quality=quality,
        accurate=accurate,
        disturbed=disturbed,
        at_pace=seen,
    )


UNAVAILABLE = Trial(recipe=recipe(device="GPU"), status="unavailable", reason="this box has no GPU")
