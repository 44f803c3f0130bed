"""What a box has answered, on the page: how it ended, why, and what it brought."""

from collections.abc import Sequence
from typing import Final

from nicegui import ui
from pydantic import JsonValue, ValidationError

from agent.wire.affinity import Plan
from agent.wire.commands import ReplyStatus, SwitchResult
from agent.wire.wording import many
from controller.client.request import Outcome
from controller.dashboard.words import number

WORDS: Final = {ReplyStatus.SUCCEEDED: "done", ReplyStatus.ACCEPTED: "started", ReplyStatus.TIMED_OUT: "timed out"}


def show(outcome: Outcome) -> None:
    """Put an answer into the element whose context this is."""
    word = WORDS.get(ReplyStatus(outcome.status), outcome.status) if outcome.reply else outcome.status
    ui.label(f"{outcome.command}: {word.replace('_', ' ')}").classes("figure-line").props("role=status")
    error = outcome.reply.error if outcome.reply else None
    if error is not None:
        ui.label(error.message).classes("trouble")
        if error.hint:
            ui.label(error.hint).classes("soft")
    elif outcome.silence:
        ui.label(outcome.silence).classes("trouble")
    result = outcome.reply.result if outcome.reply else None
    if result is None:
        return
    if (switch := _switch(result)) is not None:
        _show_switch(switch)
    plan = _plan(result if outcome.command == "plan-affinity" else result.get("plan"))
    if plan is not None:
        _show_plan(plan)


def table(rows: Sequence[tuple[str, ...]], head: tuple[str, ...] = ()) -> None:
    """A table of texts, the first of each row its name."""
    with ui.element("table").classes("pairs"):
        for place, row in enumerate([head, *rows] if head else rows):
            with ui.element("tr"):
                for number_, text in enumerate(row):
                    with ui.element("th" if not number_ or (head and not place) else "td"):
                        ui.label(text)


def _switch(result: dict[str, JsonValue]) -> SwitchResult | None:
    try:
        return SwitchResult.model_validate(result, extra="ignore")
    except ValidationError:
        return None


def _plan(said: JsonValue) -> Plan | None:
    try:
        return Plan.model_validate({"mermaid": "", **said}, extra="ignore") if isinstance(said, dict) else None
    except ValidationError:
        return None


def _show_switch(switch: SwitchResult) -> None:
    before, after = switch.before, switch.after
    table(
        [
            ("FPS", number(before.fps), number(after.fps)),
            ("latency ms", number(before.latency), number(after.latency)),
        ],
        ("", "before", "after"),
    )
    now = switch.effective
    rows = [
        ("runs on", ", ".join(now.execution_devices)),
        ("precision", f"{now.model_precision}, computed in {now.inference_precision}"),
        ("compiled in", number(switch.compile_ms, "ms", 0) + (" (from the cache)" if now.from_cache else "")),
        ("gap", f"{number(switch.gap_ms, 'ms', 0)}, {many(switch.frames_lost, 'frame')} lost"),
    ]
    if switch.verdict:
        rows.append(("verdict", switch.verdict))
    table(rows)


def _show_plan(plan: Plan) -> None:
    table(
        [
            ("operations", ", ".join(f"{name} {count}" for name, count in plan.operations.items())),
            ("submodels", str(plan.submodels)),
            ("bytes moved", f"{plan.bytes_moved:,} a frame over {len(plan.boundaries)} boundaries"),
            *([("expected", number(plan.expected.frame_ms, "ms a frame", 2))] if plan.expected else []),
        ]
    )
