"""Commands that are imported when they are asked for, so that help, completion and usage errors answer at once.

After the lazy group of click's documentation ("Lazily Loading Subcommands"). That one imports every command for the
list of all; here the table holds what the list says, and a test holds the table to the commands.
"""

import math
from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem


class Place(NamedTuple):
    """Where a command is found, and its line in the list of all."""

    module: str
    name: str
    """Of the command in its module."""
    summary: str
    """The first sentence of its help."""
    section: str = "Commands"
    """Of the list of all."""


class LazyGroup(click.Group):
    """A group that knows its commands by ``places``: what they are called, and where they are found.

    Sections of the list stand in the order in which ``places`` first names them.
    """

    def __init__(self, *args: Any, places: Mapping[str, Place], **settings: Any) -> None:  # noqa: ANN401 - click's
        super().__init__(*args, **settings)
        self.places = places
        _take_numbers(self)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, sorted."""
        return sorted(self.places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None for an unknown name."""
        place = self.places.get(cmd_name)
        if place is None:
            return None
        command: click.Command = vars(import_module(place.module))[place.name]
        _take_numbers(command)
        if ctx.auto_envvar_prefix:
            _name_variables(command, f"{ctx.auto_envvar_prefix}_{cmd_name}")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List all commands without importing one."""
        widest = max(map(len, self.places))
        room = formatter.width - 6 - widest
        for section in dict.fromkeys(place.section for place in self.places.values()):
            names = [name for name in self.list_commands(ctx) if self.places[name].section == section]
            lines = [click.Command(name, help=self.places[name].summary).get_short_help_str(room) for name in names]
            with formatter.section(section):
                # As wide as the widest of all sections, so that they stand in line.
                formatter.write_dl([(name.ljust(widest), line) for name, line in zip(names, lines, strict=True)])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete to names without importing a command."""
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        found = [CompletionItem(name, help=self.places[name].summary) for name in names]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]


class Number(click.FloatRange):
    """A number within bounds: click holds NaN to be within any."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        """Refuse what is no number."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is no number.", param, ctx)
        return number


def _take_numbers(command: click.Command) -> None:
    for option in command.params:
        if type(option.type) is click.FloatRange:
            bounds = option.type
            option.type = Number(bounds.min, bounds.max, bounds.min_open, bounds.max_open, bounds.clamp)


def _name_variables(command: click.Command, prefix: str) -> None:
    """Name the variable of an option as the option is called: click would take what the source calls it."""
    for option in command.params:
        if not isinstance(option, click.Option) or option.envvar or not option.allow_from_autoenv:
            continue
        called = max(option.opts, key=len).lstrip("-")
        if called.replace("-", "_") != option.name:
            option.envvar = f"{prefix}_{called}".upper().replace("-", "_")
