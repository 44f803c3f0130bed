"""What a person sees of the answers: before and after, requested against effective, plans. Imported when printed."""

from collections.abc import Sequence
from typing import Final

from pydantic import ValidationError
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from agent.wire.affinity import Plan
from agent.wire.commands import KEEPS_UP, Agreement, ReplyError, SwitchResult
from agent.wire.wording import many
from controller.client.fleet import printable
from controller.client.request import Outcome
from controller.terminal.surroundings import tell
from controller.terminal.tables import add_facts, cell, console, print_fitting

LINES_SPARED: Final = ("compile ms", "gap ms", "lost", "latency ms", "version", "precision", "camera", "fps")
BOUNDARIES_SHOWN: Final = 5
SWITCHES: Final = frozenset({"set-device", "set-precision", "set-model", "set-affinity", "set-hint", "set-input"})


def show(outcomes: Sequence[Outcome], *, single: bool) -> None:
    """Print what was done to standard output, a page for one device, a line for each of several; the rest as errors."""
    out = console()
    done = [outcome for outcome in outcomes if not outcome.exit_code and not outcome.left_out]
    if single:
        for outcome in done:
            out.print(Text(headline(outcome), style="bold"))
            for part in page(outcome):
                out.print()
                out.print(part)
    elif done:
        print_fitting(lines(done), LINES_SPARED)
    for outcome in outcomes:
        if outcome.exit_code:
            show_error(outcome)


def _because(what: str, error: ReplyError | None) -> str:
    """What ended how, and why, no word twice: not "cancelled: cancelled: cancelled by ..."."""
    if error is None:
        return f"{what}: the device does not say why"
    code = error.code.value
    if not what.endswith(code):
        return f"{what}: {code}: {error.message}"
    rest = error.message.removeprefix(f"{code} ")
    return f"{what}: {error.message}" if rest == error.message else f"{what} {rest}"


def headline(outcome: Outcome) -> str:
    """One line that names device, command and how it ended."""
    version = f", state version {outcome.reply.state_version}" if outcome.reply else f", id {outcome.id}"
    return printable(f"{outcome.device_id}: {outcome.command} {outcome.status}{version}")


def show_error(outcome: Outcome) -> None:
    """Print why it was not done, and the cure, to standard error."""
    if outcome.reply is None:
        tell(f"Error: {outcome.device_id}: {outcome.silence}")
    else:
        tell_error(f"{outcome.device_id}: {outcome.status.replace('_', ' ')}", outcome.reply.error)


def tell_error(what: str, error: ReplyError | None) -> None:
    """Print what ended how, why, and the cure."""
    tell(f"Error: {printable(_because(what, error))}")
    if error and error.hint:
        tell(f"Hint: {printable(error.hint)}")


def page(outcome: Outcome) -> list[RenderableType]:
    """Everything one device has answered."""
    plan = plan_of(outcome)
    if (switch := switch_of(outcome)) is not None:
        parts: list[RenderableType] = [paces(switch), requested_and_effective(switch), figures(switch)]
        return [*parts, plan_page(plan)] if plan else parts
    if plan is not None:
        return [plan_page(plan)]
    if outcome.reply is None or not outcome.reply.result:
        return []
    facts = Table(box=None, show_header=False, pad_edge=False)
    add_facts(facts, "", outcome.reply.result)
    return [facts]


def switch_of(outcome: Outcome) -> SwitchResult | None:
    """Return the result of a switch; None for other commands, and of a version that cannot be read."""
    if outcome.command not in SWITCHES or outcome.reply is None or outcome.reply.result is None:
        return None
    try:
        return SwitchResult.model_validate(outcome.reply.result, extra="ignore")
    except ValidationError:
        return None


def plan_of(outcome: Outcome) -> Plan | None:
    """Return the plan that was asked for, or that a switch to an affinity carried out, which comes without picture."""
    result = outcome.reply.result if outcome.reply else None
    said = result if outcome.command == "plan-affinity" else (result or {}).get("plan")
    try:
        return Plan.model_validate({"mermaid": "", **said}, extra="ignore") if isinstance(said, dict) else None
    except ValidationError:
        return None


def lines(outcomes: Sequence[Outcome]) -> Table:
    """One line per device."""
    names = (
        "device id",
        "status",
        "version",
        "runs on",
        "precision",
        "fps",
        "latency ms",
        "gap ms",
        "lost",
        "compile ms",
        "camera",
    )
    switched = any(switch_of(outcome) for outcome in outcomes)
    table = table_of(*names[: None if switched else 3])
    for outcome in outcomes:
        switch = switch_of(outcome)
        first = [outcome.device_id, outcome.status, outcome.reply.state_version if outcome.reply else None]
        row = [cell(value) for value in [*first, *(_line(switch) if switch else [])]]
        table.add_row(*row, *([verdict(switch)] if switch else []))
    return table


def _line(switch: SwitchResult) -> list[object]:
    before, after, effective = switch.before, switch.after, switch.effective
    return [
        ",".join(effective.execution_devices),
        effective.model_precision,
        f"{_number(before.fps)} -> {_number(after.fps)}",
        f"{_number(before.latency)} -> {_number(after.latency)}",
        switch.gap_ms,
        switch.frames_lost,
        switch.compile_ms,
    ]


def paces(switch: SwitchResult) -> Table:
    """How fast it was and is."""
    table = table_of("", "before", "after", "ratio")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, before, after in (
        ("fps", switch.before.fps, switch.after.fps),
        ("latency ms", switch.before.latency, switch.after.latency),
    ):
        ratio = None if before is None or after is None or before <= 0 else f"{after / before:.2f}"
        table.add_row(Text(name, style="dim"), cell(before), cell(after), cell(ratio))
    return table


def requested_and_effective(switch: SwitchResult) -> Table:
    """What was asked for, and what OpenVINO reports to run."""
    asked, runs = switch.requested, switch.effective
    table = table_of("", "requested", "effective")
    for name, requested, effective in (
        ("model", asked.model, None),
        ("device", asked.device, ", ".join(runs.execution_devices)),
        ("detector", asked.detector, None),
        ("precision", asked.precision, f"{runs.model_precision} file, computed in {runs.inference_precision}"),
        (
            "affinity",
            _affinity(asked.affinity),
            None if runs.submodels is None else _many(runs.submodels, "submodel", "submodels"),
        ),
        ("long side", asked.long_side, None),
        ("hint", asked.hint, None),
        ("streams", asked.streams, runs.streams),
        ("threads", None, runs.threads),
        ("requests", asked.requests, runs.infer_requests),
    ):
        if requested is not None or effective is not None:
            table.add_row(Text(name, style="dim"), cell(requested or ""), cell("" if effective is None else effective))
    return table


def _affinity(affinity: object) -> str | None:
    if not isinstance(affinity, dict):
        return None
    rules = affinity.get("rules")
    return str(affinity.get("preset") or _many(len(rules) if isinstance(rules, list) else 0, "rule", "rules"))


def figures(switch: SwitchResult) -> Table:
    """What the switch cost, and how well the people found agree."""
    table = Table(box=None, show_header=False, pad_edge=False)
    cached = " (from the cache)" if switch.effective.from_cache else ""
    facts = [
        ("compile", f"{switch.compile_ms:.1f} ms{cached}"),
        ("first inference", f"{switch.first_infer_ms:.1f} ms"),
        ("gap", "unknown: no frame came" if switch.gap_ms is None else f"{switch.gap_ms:.1f} ms"),
        ("frames lost", str(switch.frames_lost)),
        ("engine", str(switch.effective.engine)),
    ]
    if switch.agreement is not None:
        facts += agreement_facts(switch.agreement)
    for name, value in facts:
        table.add_row(Text(name, style="dim"), cell(value))
    if switch.verdict is not None:
        table.add_row(Text("camera", style="dim"), verdict(switch))
    return table


def verdict(switch: SwitchResult) -> Text:
    """How the engine does against the camera, in red where it falls behind."""
    pace = "" if switch.camera_fps is None else f"{switch.camera_fps:.1f} fps: "
    text = printable(f"{pace}{switch.verdict or '-'}")
    return Text(text, style="" if switch.verdict in {None, KEEPS_UP} else "bold red")


def agreement_facts(agreement: Agreement) -> list[tuple[str, str]]:
    """How well the people found agree with those of FP32."""
    share = f" ({agreement.missed / agreement.people:.1%})" if agreement.people else ""
    oks = "unknown" if agreement.mean_oks is None else f"{agreement.mean_oks:.3f}"
    return [
        ("people of FP32", f"{agreement.people} on {many(agreement.frames, 'frame')}"),
        ("missed", f"{agreement.missed}{share}"),
        ("invented", str(agreement.invented)),
        ("mean OKS", oks),
    ]


def plan_page(plan: Plan) -> Table:
    """Where the operations go, and what crosses."""
    table = Table(box=None, show_header=False, pad_edge=False)
    facts = [
        ("plan for", plan.device),
        ("operations", _counts(plan.operations)),
        ("submodels", str(plan.submodels)),
        ("bytes moved", f"{plan.bytes_moved:,} a frame over {_many(len(plan.boundaries), 'boundary', 'boundaries')}"),
    ]
    if plan.moved:
        facts.append(("placed elsewhere", f"{_counts(plan.moved)}: the device of their rule cannot run them"))
    if plan.expected is not None:
        alone = ", ".join(f"{device} {ms:.2f} ms" for device, ms in plan.expected.alone_ms.items())
        facts.append(
            ("expected", f"{plan.expected.frame_ms:.2f} ms a frame, {plan.expected.crossing_ms:.2f} of it crossing")
        )
        facts.append(("each alone", alone))
    biggest = sorted(plan.boundaries, key=lambda boundary: -boundary.bytes)[:BOUNDARIES_SHOWN]
    for number, each in enumerate(biggest):
        name = "biggest crossings" if not number else ""
        facts.append((name, f"{each.source} -> {each.target}  {each.bytes:>11,} bytes  {each.operation}"))
    for name, value in facts:
        table.add_row(Text(name, style="dim"), cell(value))
    return table


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


def table_of(*names: str) -> Table:
    """Make a table with these headings."""
    table = Table(*names, box=None, header_style="bold", pad_edge=False)
    for column in table.columns:
        column.no_wrap = True
    return table


def _many(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
