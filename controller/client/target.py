"""Whom a command is for, and who that is on this broker."""

import difflib
import fnmatch
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from agent.wire.topics import every_device
from controller.client.fleet import Fleet
from controller.client.session import Session
from controller.errors import NoAnswerError

EVERYBODY: Final = "*"


@dataclass(frozen=True, slots=True)
class Target:
    """A device by its id, those whose ids a glob matches, or a group."""

    device: str | None = None
    group: str | None = None

    @property
    def single(self) -> bool:
        """One device, named by its id."""
        return self.device is not None and not set(self.device) & set("*?[")

    @property
    def everybody(self) -> bool:
        """Whoever is there, whereas other globs name devices that ought to be."""
        return self.device == EVERYBODY

    def matching(self, found: Collection[str]) -> Callable[[str], bool]:
        """Whether a device is meant, by its id: of a glob also those that come later than ``found``."""
        if self.device is not None and not self.single:
            glob = self.device
            return lambda device: fnmatch.fnmatchcase(device, glob)
        return lambda device: device in found

    def find(self, session: Session) -> list[str]:
        """Return the ids of those it names, in order. Raises :class:`NoAnswerError` when there is nobody."""
        prefix, wanted = session.prefix, self.device or ""
        leaves = ("availability",) if self.group is None else ("availability", "info")

        def enough(fleet: Fleet) -> bool:
            return self.single and wanted in fleet.agents

        topics = [session.of_every(leaf, wanted) if self.single else every_device(leaf, prefix) for leaf in leaves]
        fleet = session.snapshot(topics, enough=enough, device=wanted if self.single else None)
        if self.group is not None:
            return sorted(_of_group(fleet, self.group))
        if self.single:
            return [fleet.require(wanted).device_id]
        found = fnmatch.filter(fleet.agents, wanted)
        if not found:
            seen = ", ".join(sorted(fleet.agents)) or "none"
            raise NoAnswerError(f"no device matches {wanted!r} below {prefix!r} on this broker", hint=f"seen: {seen}")
        return sorted(found)


def _of_group(fleet: Fleet, group: str) -> list[str]:
    members = {agent.device_id: agent.info.groups for agent in fleet.agents.values() if agent.info}
    found = [device for device, groups in members.items() if group in groups]
    if not found:
        seen = sorted({name for groups in members.values() for name in groups})
        near = difflib.get_close_matches(group, seen, n=1)
        guess = f"did you mean {near[0]}? " if near else ""
        hint = f"{guess}seen: {', '.join(seen) or 'none'}; a device joins one by `groups` in its configuration"
        raise NoAnswerError(f"no device names the group {group!r}", hint=hint)
    return found
