"""What the shell is told when it asks how a word may go on: read from the broker, quickly, or nothing."""

import contextlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

import click
from click.shell_completion import CompletionItem

from agent.wire.topics import every_device
from controller.options import Given

if TYPE_CHECKING:
    from agent.wire.messages import Info
    from controller.fleet import Agent

TIMEOUT_S: Final = 1.0


def seen(ctx: click.Context, *leaves: str) -> "list[Agent]":
    """Ask the broker for every agent, but not for long, and say nothing when it does not answer."""
    from controller.session import Session  # noqa: PLC0415 - only a completion that is asked for pays for paho

    given = ctx.find_object(Given) or Given()
    given.values["timeout"] = min(given.timeout_s, TIMEOUT_S)
    with contextlib.suppress(Exception), Session(given, complain=lambda _: None) as session:
        fleet = session.snapshot([every_device(leaf, given.prefix) for leaf in leaves])
        return sorted(fleet.agents.values(), key=lambda agent: agent.device_id)
    return []


def items(words: Iterable[str], incomplete: str) -> list[CompletionItem]:
    """Those that go on from what is typed, in any case, each once."""
    start = incomplete.casefold()
    return [CompletionItem(word) for word in dict.fromkeys(words) if word.casefold().startswith(start)]


def from_info(
    words_of: "Callable[[Info], Iterable[str]]", *always: str
) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Complete to what the birth messages of the devices addressed say, after what is ``always`` there."""

    def complete(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        infos = [agent.info for agent in seen(ctx, "info") if agent.info and _addressed(ctx, agent)]
        return items([*always, *(word for info in infos for word in words_of(info))], incomplete)

    return complete


def _addressed(ctx: click.Context, agent: "Agent") -> bool:
    import fnmatch  # noqa: PLC0415

    given = ctx.find_object(Given) or Given()
    group, target = given.values.get("group"), given.values.get("target")
    if group is not None:
        return agent.info is not None and group in agent.info.groups
    return target is None or fnmatch.fnmatchcase(agent.device_id, target)
