"""Topic names of the wire, version 1."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

DEVICE_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
DEFAULT_PREFIX: Final = "edgepose"
_GROUPS: Final = "_group"
"""No device id starts with an underscore."""


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one device below one prefix."""

    device_id: str
    prefix: str = DEFAULT_PREFIX

    def __post_init__(self) -> None:
        if not DEVICE_ID.fullmatch(self.device_id):
            raise ValueError(f"device id {self.device_id!r} does not match [a-z0-9][a-z0-9-]{{0,62}}")

    def _of(self, leaf: str) -> str:
        return f"{self.prefix}/{self.device_id}/{leaf}"

    @property
    def availability(self) -> str:
        """`online` or `offline`, retained; plain text."""
        return self._of("availability")

    @property
    def info(self) -> str:
        """:class:`agent.wire.messages.Info`, retained."""
        return self._of("info")

    @property
    def state(self) -> str:
        """:class:`agent.wire.messages.State`, retained."""
        return self._of("state")

    @property
    def metrics(self) -> str:
        """:class:`agent.wire.messages.Metrics`, retained."""
        return self._of("metrics")

    @property
    def keypoints(self) -> str:
        """:class:`agent.wire.messages.Keypoints`, QoS 0."""
        return self._of("keypoints")

    @property
    def event(self) -> str:
        """:class:`agent.wire.messages.Event`."""
        return self._of("event")

    def zone(self, name: str) -> str:
        """:class:`agent.wire.messages.ZoneMessage`, retained; ``+`` is every zone."""
        return self._of(f"zone/{name}")

    def command(self, name: str) -> str:
        """A command, to the device; ``+`` is every command."""
        return self._of(f"command/{name}")

    def reply(self, client: str) -> str:
        """:class:`agent.wire.commands.Reply`, to the client of that name."""
        return self._of(f"reply/{client}")

    def job(self, job_id: str) -> str:
        """:class:`agent.wire.commands.Job`, retained."""
        return self._of(f"job/{job_id}")

    def command_filters(self, groups: Collection[str] = ()) -> list[str]:
        """Make the filters that match every command to the device and to its groups."""
        return [self.command("+"), *(group_command(group, "+", self.prefix) for group in groups)]

    def command_of(self, topic: str, groups: Collection[str] = ()) -> str | None:
        """Read the command's name off a topic; None for one that commands neither the device nor one of its groups."""
        head, _, name = topic.rpartition("/")
        return name if name and f"{head}/+" in self.command_filters(groups) else None

    def client_of(self, topic: str) -> str | None:
        """Read the client's name off a reply topic of the device or of a group; None for any other topic."""
        head = self.prefix + "/"
        match topic.removeprefix(head).split("/") if topic.startswith(head) else ():
            case [device_id, "reply", client] if device_id == self.device_id:
                return client or None
            case [groups, group, "reply", client] if groups == _GROUPS and DEVICE_ID.fullmatch(group):
                return client or None
        return None


def group_command(group: str, name: str, prefix: str = DEFAULT_PREFIX) -> str:
    """Name the topic of a command to every device of a group; ``+`` is every command."""
    return f"{prefix}/{_GROUPS}/{_group(group)}/command/{name}"


def group_reply(group: str, client: str, prefix: str = DEFAULT_PREFIX) -> str:
    """Name the reply topic that a command to a group carries: each device answers on its own instead."""
    return f"{prefix}/{_GROUPS}/{_group(group)}/reply/{client}"


def _group(group: str) -> str:
    if not DEVICE_ID.fullmatch(group):
        raise ValueError(f"group {group!r} does not match [a-z0-9][a-z0-9-]{{0,62}}")
    return group


def every_device(leaf: str, prefix: str = DEFAULT_PREFIX) -> str:
    """Make the filter that matches one leaf of every device of the prefix, such as ``state`` or ``job/+``."""
    return f"{prefix}/+/{leaf}"


def parse(topic: str, prefix: str = DEFAULT_PREFIX) -> tuple[str, str] | None:
    """Split a topic of the prefix into (device id, leaf); None for one that is not a device's."""
    head = prefix + "/"
    if not topic.startswith(head):
        return None
    device_id, separator, leaf = topic[len(head) :].partition("/")
    if not separator or not leaf or not DEVICE_ID.fullmatch(device_id):
        return None
    return device_id, leaf
