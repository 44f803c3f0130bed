"""`controller snapshot`: one picture of what the camera sees, where the box allows that."""

import base64
import binascii
from pathlib import Path
from typing import Any, Final

import click

from controller.client.request import Outcome
from controller.commands.access import open_session
from controller.commands.execute import ask, leave, order_of, print_outcomes, print_tables
from controller.commands.files import require_new, write
from controller.commands.options import Given, connection, kept
from controller.commands.targets import DeviceType
from controller.errors import ControllerError
from controller.terminal.surroundings import print_json, tell

SUFFIXES: Final = (".jpg", ".jpeg")
START_OF_IMAGE: Final = b"\xff\xd8\xff"


@click.command()
@click.argument("target", metavar="DEVICE", type=DeviceType(), expose_value=False, callback=kept)
@click.option(
    "--out", required=True, metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Ends in .jpg."
)
@click.option("--force", is_flag=True, help="Replace FILE.")
@connection()
@click.pass_obj
def snapshot(given: Given, out: Path, *, force: bool) -> None:
    """Write what the camera sees now to a file.

    The configuration of the box must let images leave it.
    """
    require_new(out, SUFFIXES, force=force)
    order = order_of(given, "snapshot", {})
    with open_session(given) as session:
        outcomes, complete = ask(session, given, order)
    (outcome,) = outcomes
    if outcome.exit_code:
        print_outcomes(outcomes, given) if given.json else print_tables(outcomes if complete else [], given)
    else:
        facts = save(outcome, out)
        if given.json:
            print_json(outcome.as_json() | {"result": facts})
        else:
            tell(f"{out}: {facts['width']}x{facts['height']}, frame {facts['seq']}")
    leave([outcome.exit_code], complete=complete)


def save(outcome: Outcome, out: Path) -> dict[str, Any]:
    """Write the picture of a reply; returns the rest of its result. Raises :class:`ControllerError`."""
    result = (outcome.reply.result if outcome.reply else None) or {}
    text = result.get("jpeg")
    try:
        picture = base64.b64decode(text if isinstance(text, str) else "", validate=True)
    except binascii.Error:
        picture = b""
    if not picture.startswith(START_OF_IMAGE):
        raise ControllerError(
            f"{outcome.device_id} answered without a JPEG", hint="its camera may not have given a frame yet"
        )
    write(out, picture)
    return {"file": str(out)} | {name: result.get(name) for name in ("width", "height", "seq")}
