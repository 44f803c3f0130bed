"""Settings of a box from afar: `set`, `get`, `unset`, `diff`; and `restart`."""

import tomllib
from typing import Final

import click
from pydantic import TypeAdapter, ValidationError

from agent.wire.settings import SettingName, SettingValue
from controller.commands.execute import carry_out, given_ones
from controller.commands.options import Given
from controller.commands.targets import FleetCommand, addressed
from controller.errors import UsageError
from controller.terminal import settings as tables

SET_HELP: Final = """Put other values over a box's configuration.

Each is a key of its file and a value as it stands there, a text without quotes too; 0 leaves open what may be open. All
are taken, or none. They outlive a restart; an edit of the same key in the file wins over them. What cannot hold at once
has the box start anew, where it runs as a service. `controller get` lists the keys.

\b
Examples:
  controller set gym-01 model.person_score_min=0.3 tracking.keep_s=30
  controller set 'gym-*' camera.fps_max=15 --dry-run
  controller set --group halls camera.rotate=180 --no-restart
"""


NAME: Final = TypeAdapter[str](SettingName)
VALUE: Final = TypeAdapter[SettingValue](SettingValue)


def pair(word: str) -> tuple[str, SettingValue]:
    """Read ``KEY=VALUE``. Raises :class:`UsageError`."""
    key, equals, text = word.partition("=")
    if not key or not equals:
        raise UsageError(f"{word!r}: expected KEY=VALUE", hint="for example camera.fps_max=15")
    try:
        value = tomllib.loads(f"value = {text}")["value"] if "\n" not in text else text
    except (tomllib.TOMLDecodeError, RecursionError):
        value = text
    try:
        return key_of(key), VALUE.validate_python(value)
    except ValidationError:
        hint = "for example camera.fps_max=15"
        raise UsageError(f"{key}: a setting is a number, true, false or a word", hint=hint) from None


def key_of(word: str) -> str:
    """Read a key. Raises :class:`UsageError`."""
    try:
        return NAME.validate_python(word)
    except ValidationError:
        hint = "keys are as camera.fps_max; `controller get DEVICE` lists them"
        raise UsageError(f"{word!r} is no key of the configuration", hint=hint) from None


def _trying(command: click.Command) -> click.Command:
    command = click.option(
        "--restart/--no-restart",
        default=True,
        help="Start anew where it takes that, or leave it to the next start. Default: start anew.",
    )(command)
    return click.option("--dry-run", is_flag=True, help="Say what would be, and change nothing.")(command)


@click.command("set", cls=FleetCommand, help=SET_HELP)
@click.argument("pairs", metavar="KEY=VALUE...", nargs=-1, required=True)
@_trying
@addressed(changes=True)
@click.pass_obj
def set_(given: Given, pairs: tuple[str, ...], *, dry_run: bool, restart: bool) -> None:
    """Send the settings."""
    read = [pair(word) for word in pairs]
    settings = dict(read)
    if len(settings) < len(read):
        raise UsageError("a key is given twice")
    carry_out(given, "set", {"settings": settings, "dry_run": dry_run, "restart": restart}, show=tables.show)


@click.command(cls=FleetCommand)
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that were changed.")
@_trying
@addressed(changes=True)
@click.pass_obj
def unset(given: Given, keys: tuple[str, ...], *, everything: bool, dry_run: bool, restart: bool) -> None:
    """Have the box's own configuration count again."""
    if bool(keys) == everything:
        raise UsageError("give keys, or --all", hint="`controller diff` lists what was changed")
    args = {"keys": list(map(key_of, keys)) or None, "dry_run": dry_run, "restart": restart}
    carry_out(given, "unset", args, show=tables.show)


@click.command(cls=FleetCommand)
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@addressed(changes=False)
@click.pass_obj
def get(given: Given, keys: tuple[str, ...]) -> None:
    """Show settings that may be changed from afar.

    Of each what counts, what the box's configuration says, and when a change holds.
    """
    carry_out(given, "get", given_ones({"keys": list(map(key_of, keys)) or None}), show=tables.show)


@click.command(cls=FleetCommand)
@addressed(changes=False)
@click.pass_obj
def diff(given: Given) -> None:
    """Show settings that differ from the box's configuration.

    With --json it is what `controller get` gives: `changed` marks them.
    """
    carry_out(given, "get", {}, show=lambda outcomes: tables.show(outcomes, changed=True))


@click.command(cls=FleetCommand)
@addressed(changes=True)
@click.pass_obj
def restart(given: Given) -> None:
    """Have the agent start anew, where it runs as a service.

    What was asked of it stays.
    """
    carry_out(given, "restart", {})
