"""Topic names of the wire, version 1."""

import re
from dataclasses import dataclass
from typing import Final

DEVICE_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
DEFAULT_PREFIX: Final = "edgepose"


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


def every_device(leaf: str, prefix: str = DEFAULT_PREFIX) -> str:
    """Make the filter that matches one leaf of every device of the prefix."""
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
