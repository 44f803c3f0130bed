"""What the shell is told when it asks how a word may go on: read from the broker, quickly, or nothing."""

import contextlib
import fnmatch
from collections.abc import Callable, Iterable
from typing import Final

import click
from click.shell_completion import CompletionItem

from agent.wire.messages import Info
from agent.wire.topics import every_device
from controller.client.fleet import Agent
from controller.commands.access import open_session
from controller.commands.options import Given

TIMEOUT_S: Final = 1.0


def seen(ctx: click.Context, *leaves: str) -> list[Agent]:
    """Ask the broker for every agent, but not for long, and say nothing when it does not answer."""
    given = ctx.find_object(Given) or Given()
    given.values["timeout"] = min(given.timeout_s, TIMEOUT_S)
    with contextlib.suppress(Exception), open_session(given, lambda _: None) as session:
        fleet = session.snapshot([every_device(leaf, given.prefix) for leaf in leaves])
        return sorted(fleet.agents.values(), key=lambda agent: agent.device_id)
    return []


def items(words: Iterable[str], incomplete: str) -> list[CompletionItem]:
    """Those that go on from what is typed, in any case, each once."""
    start = incomplete.casefold()
    return [CompletionItem(word) for word in dict.fromkeys(words) if word.casefold().startswith(start)]


def from_info(
    words_of: Callable[[Info], Iterable[str]], *always: str
) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Complete to what the birth messages of the devices addressed say, after what is ``always`` there."""

    def complete(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        infos = [agent.info for agent in seen(ctx, "info") if agent.info and _addressed(ctx, agent)]
        return items([*always, *(word for info in infos for word in words_of(info))], incomplete)

    return complete


def _addressed(ctx: click.Context, agent: Agent) -> bool:
    given = ctx.find_object(Given) or Given()
    group, target = given.values.get("group"), given.values.get("target")
    if group is not None:
        return agent.info is not None and group in agent.info.groups
    return target is None or fnmatch.fnmatchcase(agent.device_id, target)
