"""Settings of boxes as a table."""

from collections.abc import Sequence
from typing import Final

from pydantic import ValidationError
from rich.text import Text

from agent.wire.settings import Setting, SettingsResult
from controller.client.fleet import printable
from controller.client.request import Outcome
from controller.terminal.outcome import headline, show_error, table_of
from controller.terminal.surroundings import tell
from controller.terminal.tables import cell, print_fitting

SPARED: Final = ("holds", "configuration")
RESTARTS: Final = {
    "now": "it starts anew now",
    "due": "holds from the next start on\n  by `controller restart`, or by hand where unsupervised",
}


def result_of(outcome: Outcome) -> SettingsResult | None:
    """What a box has answered; None where it has not, or where a newer version says something else."""
    if outcome.reply is None or outcome.reply.result is None:
        return None
    try:
        return SettingsResult.model_validate(outcome.reply.result, extra="ignore")
    except ValidationError:
        return None


def show(outcomes: Sequence[Outcome], *, changed: bool = False) -> None:
    """Print the settings of each box, or of these the ``changed`` alone; what was not done goes to standard error."""
    found = [(outcome, result) for outcome in outcomes if (result := result_of(outcome)) is not None]
    rows = [
        (outcome.device_id, key, setting)
        for outcome, result in found
        for key, setting in sorted(result.settings.items())
        if setting.changed or not changed
    ]
    if rows:
        table = table_of("device id", "key", "value", "configuration", "holds")
        for device, key, setting in rows:
            mark = "bold" if setting.changed else ""
            table.add_row(
                device,
                Text(printable(key), style=mark),
                cell(setting.value),
                cell(setting.configured),
                _holds(setting),
            )
        print_fitting(table, SPARED)
    elif found:
        tell("Nothing differs from the configuration.")
    for outcome, result in found:
        if outcome.command != "get":
            tell(headline(outcome) + (", nothing changed: a dry run" if result.dry_run else ""))
        if result.restart in RESTARTS and outcome.command != "get":
            tell(f"{outcome.device_id}: {RESTARTS[result.restart]}")
    for outcome in outcomes:
        if outcome.exit_code:
            show_error(outcome)


def _holds(setting: Setting) -> str:
    if setting.pending:
        return "from the next start on"
    return "at once" if setting.live else "at a start"
