"""What is wrong on a box, without logging in: `check`, `logs`."""

from typing import Final

import click
from pydantic import ValidationError

from agent.wire.commands import LOG_LINES_MAX, CheckResult, LogsResult
from controller.client.request import Outcome
from controller.commands.access import open_session
from controller.commands.execute import (
    ask,
    carry_out,
    given_ones,
    leave,
    order_of,
    print_outcomes,
    print_tables,
    target_of,
)
from controller.commands.options import Given
from controller.commands.targets import FleetCommand, addressed
from controller.terminal import look_into as tables

ANSWER_S: Final = 90.0
"""A check has a process of its own begun on a box that may be busy."""


def checks_of(outcome: Outcome) -> CheckResult | None:
    """What a box has found, if it has told."""
    try:
        return CheckResult.model_validate(outcome.reply.result if outcome.reply else None, extra="ignore")
    except ValidationError:
        return None


@click.command(cls=FleetCommand)
@addressed(changes=False, answer_s=ANSWER_S)
@click.pass_obj
def check(given: Given) -> None:
    """Have a box look for what is wrong with it, and say the cure.

    What `agent doctor` finds there, but for the camera: of that the agent says what it knows, as it holds it. The exit
    code is 1 where a check failed.
    """
    order = order_of(given, "check", {}, answer_s=ANSWER_S)
    with open_session(given) as session:
        outcomes, complete = ask(session, given, order)
    found = {each.device_id: result for each in outcomes if (result := checks_of(each)) is not None}
    if given.json:
        print_outcomes(outcomes, given)
    else:
        print_tables([each for each in outcomes if each.device_id not in found and (complete or each.reply)], given)
        tables.show_checks(found, single=target_of(given).single)
    failed = {device for device, result in found.items() if any(each.level == "fail" for each in result.checks)}
    leave([1 if each.device_id in failed else each.exit_code for each in outcomes], complete=complete)


@click.command(cls=FleetCommand)
@click.option(
    "--lines", type=click.IntRange(1, LOG_LINES_MAX), metavar="N", help=f"At most {LOG_LINES_MAX}. Default: 200."
)
@addressed(changes=False)
@click.pass_obj
def logs(given: Given, lines: int | None) -> None:
    """Show the last lines of a box's log.

    Those since its agent started, without passwords and accounts. The whole log is the box's own: `journalctl` there.
    """
    single = target_of(given).single

    def show(outcomes: list[Outcome]) -> None:
        print_tables([each for each in outcomes if each.reply is None or each.reply.result is None], given)
        for each in outcomes:
            if each.reply is not None and each.reply.result is not None:
                told = LogsResult.model_validate(each.reply.result, extra="ignore")
                tables.show_lines(told, "" if single else each.device_id)

    carry_out(given, "logs", given_ones({"lines": lines}), show=show)
