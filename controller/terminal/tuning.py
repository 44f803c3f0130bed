"""What a person sees of what `tune` has found. Imported when printed."""

from typing import Final

from rich.table import Table
from rich.text import Text

from agent.wire.tuning import Tuning
from controller.client.fleet import printable
from controller.report.tuned import COLUMNS, WORDS, cells, looked_at, name_of, shown, wished
from controller.terminal.tables import console, print_fitting

SPARED: Final = ("invented", "latency ms", "hint", "device", "CPU ms")
"""Columns that a narrow terminal does without, the first of them first."""


def show_tuning(tuning: Tuning) -> None:
    """Print what was wished, the frontier with the decision in it, why others have no figures, and the decision."""
    out = console()
    out.print(Text(f"Wish: {wished(tuning)}."))
    out.print(Text(printable(f"Looked at: {looked_at(tuning)}."), style="dim"))
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
            out.print(Text(printable(f"{name_of(trial.recipe)}: {trial.status}: {trial.reason}"), style="dim"))
    if tuning.left_out:
        out.print(Text(f"{tuning.left_out} configurations were not looked at: the time was over.", style="dim"))
    out.print()
    applied = " The box was told to switch to it." if tuning.applied else ""
    out.print(Text(printable(f"{tuning.verdict}.{applied}"), style="bold"))
