"""`controller set-zones`: in which parts of the picture a device counts people, and where it looks away."""

import tomllib
from pathlib import Path
from typing import Any, Final

import click
from pydantic import TypeAdapter, ValidationError

from agent.wire.wording import first_fault, place_of, words_of
from agent.wire.zones import Zones
from controller.commands.execute import carry_out
from controller.commands.options import FILE, Given
from controller.commands.targets import FleetCommand, addressed
from controller.errors import UsageError

SET_ZONES_HELP: Final = """Count people in other zones, live.

FILE has the tables of the agent's configuration, and replaces all zones there are:

\b
  [zones.weights]
  polygon = [[0.1, 0.4], [0.6, 0.4], [0.6, 1.0], [0.1, 1.0]]
  dwell_s = 600.0
  [zones.mirror]
  polygon = [[0.8, 0.0], [1.0, 0.0], [1.0, 0.5], [0.8, 0.5]]
  mask = true

Corners are fractions of the picture, (0, 0) at the top left.

\b
Examples:
  controller set-zones gym-01 --file zones.toml
  controller set-zones gym-01 --configured
"""
EXAMPLE: Final = "for example zones.weights.polygon = [[0.1, 0.4], [0.6, 0.4], [0.6, 1.0]]"


def zones_of(file: Path) -> dict[str, Any]:
    """The zones of a TOML file. Raises :class:`UsageError`."""
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{file} is no TOML: {error}", hint=EXAMPLE) from None
    if others := sorted(tables.keys() - {"zones"}):
        raise UsageError(f"{file}: {', '.join(others)}: only [zones.NAME] is expected here", hint=EXAMPLE)
    try:
        zones = TypeAdapter(Zones).validate_python(tables.get("zones", {}))
    except ValidationError as error:
        first = first_fault(error)
        place = ".".join(filter(None, ("zones", place_of(first))))
        raise UsageError(f"{file}: {place}: {words_of(first)}", hint=EXAMPLE) from None
    return {name: zone.model_dump(mode="json") for name, zone in zones.items()}


@click.command(cls=FleetCommand, help=SET_ZONES_HELP)
@click.option("--file", type=FILE, help="The zones, as TOML.")
@click.option(
    "--none",
    "nothing",
    is_flag=True,
    help="No zones and no masks.",
)
@click.option("--configured", is_flag=True, help="Those of the box's configuration again.")
@addressed(changes=True)
@click.pass_obj
def set_zones(given: Given, file: Path | None, *, nothing: bool, configured: bool) -> None:
    """Send the zones."""
    if (file is not None) + nothing + configured != 1:
        raise UsageError("give one of --file, --none and --configured", hint=EXAMPLE)
    carry_out(given, "set-zones", {"zones": zones_of(file) if file else None if configured else {}})
