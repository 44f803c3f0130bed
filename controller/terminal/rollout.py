"""A roll-out for people: each step a line, and at the end who is left with what."""

from collections.abc import Mapping
from typing import Final

from pydantic import JsonValue
from rich.text import Text

from agent.wire.wording import many
from controller.client.fleet import printable
from controller.client.rollout import Rollout
from controller.terminal.outcome import table_of
from controller.terminal.tables import cell, console, print_fitting

SPARED: Final = ("runs",)
"""The column that a narrow terminal does without."""


def step(event: str, facts: Mapping[str, JsonValue]) -> str | None:
    """One line for a step; None for one that people need not hear of."""
    match event:
        case "batch":
            boxes = facts["boxes"]
            return f"batch {facts['batch']}: {many(len(boxes) if isinstance(boxes, list) else 0, 'box', 'boxes')}"
        case "soak":
            return f"watching {many(int(str(facts['boxes'])), 'box', 'boxes')} for {facts['seconds']:g} s"
        case "box":
            why = f": {facts['reason']}" if facts["reason"] else ""
            return printable(f"{facts['device_id']}: {facts['verdict']}{why}")
        case "undone":
            return printable(f"{facts['device_id']}: taken back, {facts['undo']}")
        case "stopping":
            return f"{many(int(str(facts['failures'])), 'failure')}: it stops, and all is taken back"
    return None


def show(rollout: Rollout) -> None:
    """Print how it ended: in a line, and the boxes that are not as they should be."""
    told = ", ".join(f"{name.replace('_', ' ')} {number}" for name, number in rollout.counts().items())
    console().print(Text(f"{rollout.id} {rollout.phase}: {told}"))
    wrong = [box for box in rollout.boxes.values() if box.verdict not in {"good", "waiting"} or box.undo == "failed"]
    if wrong:
        table = table_of("device id", "verdict", "runs", "why")
        for box in wrong:
            table.add_row(box.device_id, cell(box.verdict), cell(box.runs), cell(printable(box.reason)))
        print_fitting(table, SPARED)
