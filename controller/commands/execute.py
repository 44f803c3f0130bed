"""From the options to a command that is sent, answered and printed."""

from collections.abc import Callable
from typing import Any, NoReturn

import click

from controller.client.request import Order, Outcome, Request, exit_code
from controller.client.session import Session
from controller.client.target import Target
from controller.commands.access import open_session
from controller.commands.options import Given
from controller.interrupt import INTERRUPTED, UntilEnded
from controller.terminal import outcome, progress
from controller.terminal.surroundings import print_devices, print_json, tell


def target_of(given: Given) -> Target:
    """Whom the command is for."""
    return Target(given.values.get("target"), given.values.get("group"))


def order_of(given: Given, command: str, args: dict[str, Any], *, answer_s: float | None = None) -> Order:
    """Make the command of what was given; ``answer_s`` is how long it may take where --timeout says nothing.

    Raises :class:`controller.errors.UsageError` for what a device would not read.
    """
    patience_s = float(given.values.get("timeout", answer_s or given.timeout_s))
    return Order(command, args, patience_s, given.values.get("if_version"))


def given_ones(args: dict[str, Any]) -> dict[str, Any]:
    """What was given; what was not is left to the box."""
    return {name: value for name, value in args.items() if value is not None}


def ask(session: Session, given: Given, order: Order) -> tuple[list[Outcome], bool]:
    """Send a command and wait for its answers unless told not to.

    Returns how it ended for each device, and whether that is all: False after Ctrl-C, which says who goes on.
    """
    request = Request(session, target_of(given), order)
    request.send()
    waits = bool(given.values.get("wait", True))
    complete = not waits or _collect(request)
    outcomes = request.outcomes(waited=waits)
    if left_out := [each.device_id for each in outcomes if each.left_out]:
        tell(f"Left out, offline: {', '.join(left_out)}")
    return outcomes, complete


def _collect(request: Request) -> bool:
    with UntilEnded() as ended, progress.Waiting(request) as waiting:
        request.collect(waiting.look, every_s=progress.LOOK_S)
    if ended.asked:
        for device in request.waiting:
            tell(f"{device} goes on with {request.order.command}.")
            tell(f"Hint: look with `controller status {device}`, end it with `controller cancel {device} {request.id}`")
    return not ended.asked


def carry_out(
    given: Given,
    command: str,
    args: dict[str, Any],
    *,
    answer_s: float | None = None,
    show: Callable[[list[Outcome]], None] | None = None,
) -> None:
    """Send a command, wait for its answers unless told not to, print them, and exit with their code.

    ``show`` prints instead of the usual tables.
    """
    order = order_of(given, command, args, answer_s=answer_s)
    with open_session(given) as session:
        outcomes, complete = ask(session, given, order)
    if given.json:
        print_outcomes(outcomes, given)
    else:
        # Ctrl-C has told already who goes on.
        told = [each for each in outcomes if not each.left_out and (complete or each.reply)]
        (show or (lambda found: print_tables(found, given)))(told)
    leave([each.exit_code for each in outcomes], complete=complete)


def leave(codes: list[int], *, complete: bool) -> NoReturn:
    """Exit with the code for these devices, or that of Ctrl-C."""
    click.get_current_context().exit(exit_code(codes) if complete else INTERRUPTED)


def print_outcomes(outcomes: list[Outcome], given: Given) -> None:
    """Print the reply of a device, or those of several."""
    print_answers([each.as_json() for each in outcomes], given)


def print_answers(found: list[dict[str, Any]], given: Given) -> None:
    """Print what a device gave as an object, what several gave as an object that holds theirs."""
    if target_of(given).single:
        print_json(found[0])
    else:
        print_devices(found)


def print_tables(outcomes: list[Outcome], given: Given) -> None:
    """Print what was done to standard output and what was not to standard error."""
    outcome.show(outcomes, single=target_of(given).single)
