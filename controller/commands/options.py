"""The options every command takes, before its name or after it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click

from agent.wire.strings import fault_of_prefix, fault_of_text
from agent.wire.topics import DEFAULT_PREFIX
from controller.errors import UsageError
from controller.profiles import profile

FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@dataclass(slots=True)
class Given:
    """Options as given; one after the command's name replaces the same one before it."""

    values: dict[str, Any] = field(default_factory=dict)

    @property
    def json(self) -> bool:
        """Print JSON instead of tables."""
        return bool(self.values.get("json"))

    @property
    def prefix(self) -> str:
        """The first levels of every topic."""
        return str(self.values.get("prefix", DEFAULT_PREFIX))

    @property
    def timeout_s(self) -> float:
        """How long to wait for the broker, and then for an answer."""
        return float(self.values.get("timeout", 5.0))


def kept(context: click.Context, parameter: click.Parameter, value: Any) -> None:  # noqa: ANN401 - click's signature
    """Callback that keeps an option, or an argument, in :class:`Given`."""
    given = context.ensure_object(Given)
    if value is not None:
        given.values[str(parameter.name)] = value


def _option(*names: str, **settings: Any) -> Callable[[Any], Any]:  # noqa: ANN401
    return click.option(*names, expose_value=False, callback=kept, **settings)


def _profiled(context: click.Context, _parameter: click.Parameter, name: str | None) -> None:
    """Callback that takes a profile before all other options, each of which replaces what it says."""
    given = context.ensure_object(Given)
    try:
        given.values |= profile(name)
        if "prefix" in given.values:
            PrefixType().convert(given.values["prefix"], None, context)
    except UsageError:
        if not context.resilient_parsing:
            raise


def connection(*, environment: bool = False, answer_s: float | None = None) -> Callable[[Any], Any]:
    """Decorate a command with the shared options.

    Only the group reads the ``environment``, and knows profiles: neither must win over what was given before the
    command's name. And only its help lists all options; that of a command would bury its own below them. ``answer_s``
    is told as the time the command waits for its answer.
    """
    patience = "5" if answer_s is None else f"5, then {answer_s:g}"
    rare: dict[str, Any] = {"hidden": not environment}

    def option(name: str, variable: str, **settings: Any) -> Callable[[Any], Any]:  # noqa: ANN401 - click's
        read = {"envvar": variable} if environment else {"allow_from_autoenv": False}
        return _option(name, **read, **settings)

    options = [
        option("--broker", "EDGEPOSE_BROKER", metavar="HOST[:PORT]|URL", help="Default: localhost."),
        option(
            "--username",
            "EDGEPOSE_BROKER_USERNAME",
            metavar="NAME",
            type=AccountType(),
            help="The broker's user name.",
            **rare,
        ),
        option("--password-file", "EDGEPOSE_BROKER_PASSWORD_FILE", type=FILE, help="A file with the password.", **rare),
        option(
            "--cafile",
            "EDGEPOSE_BROKER_CAFILE",
            type=FILE,
            help="The authority that signed the broker's certificate; turns TLS on.",
            **rare,
        ),
        option("--cert", "EDGEPOSE_BROKER_CERT", type=FILE, help="Our certificate, if the broker wants one.", **rare),
        option("--key", "EDGEPOSE_BROKER_KEY", type=FILE, help="The key of our certificate.", **rare),
        option(
            "--signing-key",
            "EDGEPOSE_SIGNING_KEY",
            type=FILE,
            help="Sign commands with the first key of this file.",
            **rare,
        ),
        option(
            "--prefix",
            "EDGEPOSE_BROKER_PREFIX",
            metavar="TOPIC",
            type=PrefixType(),
            help=f"First level of the topics. Default: {DEFAULT_PREFIX}.",
            **rare,
        ),
        option(
            "--timeout",
            "EDGEPOSE_BROKER_TIMEOUT",
            metavar="SECONDS",
            type=click.FloatRange(0, 3600, min_open=True),
            help=f"How long to wait, for the broker and then for an answer. Default: {patience}.",
        ),
        _option(
            "--json",
            is_flag=True,
            default=None,
            allow_from_autoenv=environment,
            help="Print JSON, errors on standard error too.",
        ),
    ]
    if environment:
        options.append(
            click.option(
                "--profile",
                metavar="NAME",
                envvar="EDGEPOSE_PROFILE",
                is_eager=True,
                expose_value=False,
                callback=_profiled,
                help="Options by a name, from ~/.config/edgepose/controller.toml. Default: default, if there is one.",
            )
        )

    def decorate(command: Any) -> Any:  # noqa: ANN401
        for each in reversed(options):
            command = each(command)
        return command

    return decorate


def bounded(command: Any) -> Any:  # noqa: ANN401
    """Decorate a command that goes on until Ctrl-C with what ends it before: --count and --seconds."""
    command = click.option(
        "--seconds", type=click.FloatRange(0, min_open=True), metavar="S", help="End after S seconds."
    )(command)
    return click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after N messages.")(command)


class PrefixType(click.ParamType[str]):
    """The first levels of a topic."""

    name = "topic"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401
        """Refuse what the agent's ``mqtt.prefix`` could not be either."""
        fault = fault_of_prefix(str(value)) if value else "it is empty"
        if fault:
            self.fail(f"no prefix of topics: {fault}", param, ctx)
        return str(value)


class AccountType(click.ParamType[str]):
    """A user name at the broker."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401
        """Refuse what MQTT has no room for."""
        if fault := fault_of_text(str(value)):
            self.fail(f"no user name: {fault}", param, ctx)
        return str(value)
