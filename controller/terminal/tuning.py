"""What a person sees of what `tune` has found. Imported when printed."""

from typing import Final

from rich.table import Table
from rich.text import Text

from agent.wire.study import Recipe
from agent.wire.tuning import Trial, Tuning
from controller.client.fleet import printable
from controller.report.rows import number, percent, share
from controller.terminal.tables import console, print_fitting

SPARED: Final = ("invented", "latency ms", "hint", "device", "CPU ms")
"""Columns that a narrow terminal does without, the first of them first."""
COLUMNS: Final = (
    "network",
    "long side",
    "precision",
    "device",
    "hint",
    "quality",
    "missed",
    "invented",
    "FPS",
    "latency ms",
    "CPU ms",
    "age p95 ms",
    "CPU %",
    "wish",
)
WORDS: Final = frozenset({"network", "precision", "device", "hint", "wish"})


def show_tuning(tuning: Tuning) -> None:
    """Print what was wished, the frontier with the decision in it, why others have no figures, and the decision."""
    out = console()
    wish, clip = tuning.wish, tuning.clip
    asked = [f"{number(wish.fps)} frames a second"]
    asked += [f"an age of at most {wish.age_ms:g} ms"] if wish.age_ms is not None else []
    asked += [f"at most {wish.cpu_percent:g} % of a core"] if wish.cpu_percent is not None else []
    looked = f"{clip.frames} frames of {printable(clip.name)}, {number(tuning.people)} people in each"
    out.print(Text(f"Wish: {', '.join(asked)}."))
    out.print(Text(f"Looked at: {looked}, as {printable(_name(tuning.reference))} sees them.", style="dim"))
    out.print()
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in COLUMNS:
        table.add_column(name, justify="left" if name in WORDS else "right")
    for index in shown(tuning):
        trial = tuning.trials[index]
        chosen = index == tuning.winner
        table.add_row(*(Text(text) for text in cells(trial, chosen=chosen)), style="bold" if chosen else "")
    if table.row_count:
        print_fitting(table, SPARED)
    for trial in tuning.trials:
        if trial.status in {"unavailable", "failed"}:
            out.print(Text(printable(f"{_name(trial.recipe)}: {trial.status}: {trial.reason}"), style="dim"))
    if tuning.left_out:
        out.print(Text(f"{tuning.left_out} configurations were not looked at: the time was over.", style="dim"))
    out.print()
    applied = " The box was told to switch to it." if tuning.applied else ""
    out.print(Text(printable(f"{tuning.verdict}.{applied}"), style="bold"))


def shown(tuning: Tuning) -> list[int]:
    """The frontier, and what was decided or tried beside it; the best quality first."""
    tried = {index for index, trial in enumerate(tuning.trials) if trial.at_pace is not None}
    wanted = {index for index in (*tuning.frontier, *tried) if 0 <= index < len(tuning.trials)}
    return sorted(wanted, key=lambda index: (-(tuning.trials[index].quality or 0.0), index))


def cells(trial: Trial, *, chosen: bool) -> list[str]:
    """One trial as texts below the headings."""
    recipe, seen, agreement = trial.recipe, trial.at_pace, trial.agreement
    missed = share(agreement.missed, agreement.people) if agreement else None
    invented = share(agreement.invented, agreement.people) if agreement else None
    held = "not tried" if seen is None else "holds"
    verdict = "winner" if chosen else "; ".join(trial.fails) or held
    texts = [recipe.model, str(recipe.long_side or "-"), recipe.precision, recipe.device, recipe.hint or "-"]
    texts += [number(trial.quality), percent(missed), percent(invented)]
    texts += [number(value) for value in (trial.fps, trial.latency_ms, trial.cpu_ms)]
    texts += [number(seen.age_ms_p95 if seen else None), number(seen.cpu_percent if seen else None), verdict]
    return [printable(text) for text in texts]


def _name(recipe: Recipe) -> str:
    side = f"{recipe.long_side} px" if recipe.long_side else None
    return " ".join(word for word in (recipe.model, side, recipe.precision, recipe.device, recipe.hint) if word)
