"""Whom a command is for, on the command line: one device, a glob, or a group in its place."""

import re
from collections.abc import Callable
from typing import Any, ClassVar, Final

import click
from click.shell_completion import CompletionItem

from agent.wire.topics import DEVICE_ID
from controller.commands.completion import items, seen
from controller.commands.options import connection, kept

GLOB: Final = re.compile(r"[a-z0-9*?\[\]!-]{1,128}")
_GROUPED: Final = "controller.commands.targets.grouped"


class DeviceType(click.ParamType[str]):
    """The id of a device; completes to the ids seen on the broker."""

    name = "device"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401
        """Refuse what cannot be an id."""
        if not DEVICE_ID.fullmatch(value):
            self.fail(f"{value!r} is not a device id: lower-case letters, digits and dashes, at most 63", param, ctx)
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete to ids."""
        return items((agent.device_id for agent in seen(ctx, "availability")), incomplete)


class TargetType(click.ParamType[str]):
    """The id of a device or a glob over ids; completes to the ids seen on the broker."""

    name = "device"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401
        """Refuse what cannot match an id."""
        if not GLOB.fullmatch(value):
            self.fail(f"{value!r} is neither a device id nor a glob over ids such as 'gym-*'", param, ctx)
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete to ids."""
        return items((agent.device_id for agent in seen(ctx, "availability")), incomplete)


class GroupType(click.ParamType[str]):
    """A group; completes to those the devices name."""

    name = "group"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401
        """Refuse what cannot be a level of a topic."""
        if not DEVICE_ID.fullmatch(value):
            self.fail(f"{value!r} is no group: lower-case letters, digits and dashes, at most 63", param, ctx)
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete to the groups of all birth messages."""
        groups = {group for agent in seen(ctx, "info") if agent.info for group in agent.info.groups}
        return items(sorted(groups), incomplete)


TARGET: Final = click.Argument(["target"], metavar="DEVICE", type=TargetType(), expose_value=False, callback=kept)


class FleetCommand(click.Command):
    """A command for DEVICE, its first argument, which is left out when --group stands in its place."""

    instead: ClassVar[tuple[str, ...]] = ("--group",)
    """Options in whose presence there is no DEVICE."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Note, before arguments are counted, whether there is a group."""
        ctx.meta[_GROUPED] = any(word.partition("=")[0] in self.instead for word in args)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            # What is wrong with an option is that; with words on the line one too many may be a DEVICE.
            if not ctx.meta[_GROUPED] or isinstance(getattr(error, "param", None), click.Option):
                raise
            raise click.UsageError(f"{error.format_message()} (with --group there is no DEVICE)", ctx) from error

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Put DEVICE first, but beside a group."""
        others = super().get_params(ctx)
        return others if ctx.meta.get(_GROUPED) else [TARGET, *others]


def addressed(*, changes: bool, answer_s: float | None = None) -> Callable[[Any], Any]:
    """Decorate a :class:`FleetCommand` with --group and, when it ``changes`` something, how it does.

    ``answer_s`` is how long the command waits where --timeout says nothing, if longer than others.
    """
    options = [
        click.option(
            "--group",
            metavar="GROUP",
            type=GroupType(),
            expose_value=False,
            callback=kept,
            allow_from_autoenv=False,  # whom a command is for stands on its line
            help="All devices of a group, instead of DEVICE.",
        ),
    ]
    if changes:
        options += _changing()

    def decorate(command: Any) -> Any:  # noqa: ANN401
        for option in reversed([*options, connection(answer_s=answer_s)]):
            command = option(command)
        return command

    return decorate


def _changing() -> list[Callable[[Any], Any]]:
    return [
        click.option(
            "--if-version",
            metavar="N",
            type=click.IntRange(min=0),
            expose_value=False,
            callback=kept,
            help="Only if the version of the device's state is N; see `controller status`.",
        ),
        click.option(
            "--wait/--no-wait",
            default=None,
            expose_value=False,
            callback=kept,
            help="Wait for the answer, or return when the broker has the command. Default: wait.",
        ),
    ]
