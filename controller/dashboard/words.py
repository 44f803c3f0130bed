"""Figures and states as the page writes them."""

from datetime import UTC, datetime
from typing import Final

from agent.wire.messages import Metrics, Status
from controller.dashboard.hub import Box

BAD: Final = frozenset({Status.FAILED, Status.CAMERA_LOST, Status.DEGRADED})
BUSY: Final = frozenset({Status.STARTING, Status.SWITCHING, Status.BENCHMARKING, Status.PAUSED, Status.STOPPING})
SPARK: Final = (120, 28)
"""Width and height of a sparkline."""


def number(value: float | None, unit: str = "", digits: int = 1) -> str:
    """A figure with its unit; a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}{unit and ' ' + unit}"


def figure(metrics: Metrics | None, field: str, digits: int = 1) -> str:
    """One of a summary's figures."""
    value: float | None = getattr(metrics, field) if metrics is not None else None
    return number(value, digits=0 if value is not None and value >= 1000 else digits)


def status(box: Box) -> str:
    """What it does, in a word."""
    if not box.online:
        return "offline"
    return box.agent.state.status.value.replace("_", " ") if box.agent.state else "silent"


def colour(box: Box) -> str:
    """Of that word, from the library's palette."""
    state = box.agent.state
    if not box.online or state is None or state.status in BAD:
        return "negative"
    return "warning" if state.status in BUSY else "positive"


def rank(box: Box) -> tuple[int, str]:
    """What is wrong first, then by name."""
    order = {"negative": 0, "warning": 1, "positive": 2}[colour(box)]
    trouble = box.agent.state is not None and box.agent.state.last_error is not None
    return (min(order, 1) if trouble else order, box.agent.device_id)


def current(box: Box) -> Metrics | None:
    """The last summary; None of a box that is not there, whatever it said last."""
    return box.agent.metrics if box.online else None


def clock(moment: datetime) -> str:
    """The time of day here; with the day where that is another."""
    here = moment.astimezone()
    today = datetime.now(UTC).astimezone().date() == here.date()
    return here.strftime("%H:%M:%S" if today else "%d %b %H:%M")


def spark(values: list[float]) -> str:
    """Points of a line that goes through the values, from zero at the bottom to their highest at the top."""
    if len(values) < 2:
        return ""
    width, height = SPARK
    top = max(*values, 1e-9)
    step = width / (len(values) - 1)
    return " ".join(f"{step * i:.1f},{height - 1 - (height - 2) * value / top:.1f}" for i, value in enumerate(values))
