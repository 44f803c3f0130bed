"""`controller status` as a person reads it: one screen, units, and what to do."""

import io
from datetime import timedelta
from typing import Any

import pytest
from rich.console import Console

from agent.wire.messages import Fitted, InputState, Status, ZonePersons
from controller.client.fleet import Agent
from controller.terminal.status import page
from tests import samples

LINES = 16
"""Fewer than the smallest terminal has."""


def shown(agent: Agent, width: int = 100) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(page(agent, samples.NOW + timedelta(minutes=3)))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return [line.rstrip() for line in text.splitlines()]


def box(availability: str = "online", figures: dict[str, Any] | None = None, **state: Any) -> Agent:
    return Agent(
        "hall",
        availability=availability,
        state=samples.state("hall").model_copy(update=state),
        metrics=samples.metrics("hall", **(figures or {})),
    )


def line(lines: list[str], name: str) -> str:
    (found,) = [each for each in lines if each.startswith(f"{name} ")]
    return found.removeprefix(name).strip()


def test_it_fits_one_screen_and_has_units() -> None:
    """What runs, how fast, who is in view, camera and box: a line each, no field's name, every figure with its unit."""
    unseen = ZonePersons(persons_mean=None, persons_max=None)
    zones = {"weights": ZonePersons(persons_mean=1.5, persons_max=2), "desk": unseen}
    size = InputState(width=384, height=288, chosen_by="command")
    lines = shown(box(figures={"zones": zones, "persons_mean": 2.25, "persons_max": 4}, input=size))
    assert len(lines) <= LINES
    assert lines[0].startswith("hall  online  running since ")
    assert "29.7 frames a second" in line(lines, "speed")
    assert line(lines, "inference").count(" ms") == 2
    assert line(lines, "in view") == "2.2 people, at most 4; desk -; weights 1.5"
    assert line(lines, "input") == "384 x 288 pixels, by command"
    assert "MB of memory" in line(lines, "box")
    assert not any("_" in each for each in lines if not each.startswith("camera"))


def test_a_size_that_was_fitted_says_why() -> None:
    """What it is to hold, and what was measured of it, in words."""
    figures = Fitted(device="CPU", precision="FP16", age_ms_max=150, camera_fps=10, fps=25.25, age_ms_p95=80)
    more = {"hint": "throughput", "chosen": ("input", "precision", "hint"), "tried": 9, "cpu_ms": 43.21}
    lines = shown(box(input=InputState(width=512, height=384, chosen_by="configuration", fitted=figures)))
    assert line(lines, "input") == "512 x 384 pixels, by configuration"
    held = "to hold 10.0 frames a second within 150 ms: 25.2 and 80.0 ms measured"
    assert line(lines, "fitted") == f"input {held}"
    figures = figures.model_copy(update=more)
    lines = shown(box(input=InputState(width=512, height=384, chosen_by="configuration", fitted=figures)))
    assert line(lines, "fitted").startswith("input, precision, hint to hold 10.0 frames a second")
    assert line(lines, "chosen") == "FP16 with the throughput hint, the best of 9: 43.2 ms of the processor a frame"


@pytest.mark.parametrize("status", [Status.CAMERA_LOST, Status.DEGRADED, Status.FAILED, Status.PAUSED])
def test_what_is_wrong_comes_with_what_to_do(status: Status) -> None:
    """A box that does not do what it should says why, and what to do about it."""
    lines = shown(box(status=status, last_error="no route to host"))
    assert line(lines, "trouble") == "no route to host"
    assert line(lines, "to do")


def test_a_box_that_is_gone_claims_nothing() -> None:
    """No figure, and nothing as running, of a box that is offline; what to look at instead."""
    lines = shown(box("offline"))
    assert lines[0].startswith("hall  offline")
    assert not any(each.startswith(("runs", "speed", "in view")) for each in lines)
    assert line(lines, "camera").startswith("was live")
    assert line(lines, "to do").startswith("is the box on")


def test_a_box_that_has_just_begun_has_no_figures() -> None:
    """Before the first summary that is said; nothing is invented."""
    agent = box()
    agent.metrics = None
    lines = shown(agent)
    assert line(lines, "figures").startswith("none yet")


def test_what_a_box_writes_does_not_steer_the_terminal() -> None:
    """Control characters in an error are shown as what they are: nothing."""
    assert "\x1b" not in "".join(shown(box(last_error="\x1b[2Jgone")))
