"""What this box has: devices, and networks at their precisions."""

from dataclasses import dataclass

import structlog

from agent.config.tree import Config
from agent.control.asking import Box
from agent.errors import ModelError
from agent.wire.messages import DeviceInfo
from models.shelf.catalogue import Precision
from models.shelf.store import Store

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Known:
    """What this box has."""

    devices: tuple[DeviceInfo, ...]
    models: dict[str, tuple[Precision, ...]]

    def box(self, config: Config) -> Box:
        """As commands are checked against it."""
        names = tuple(device.name for device in self.devices)
        return Box(config.device_id, names, self.models, config.output.snapshots)


def installed(store: Store) -> dict[str, tuple[Precision, ...]]:
    """The networks that are ready, and their precisions; one that cannot be read is left out and logged."""
    found: dict[str, tuple[Precision, ...]] = {}
    for name in store.names():
        try:
            precisions = store.precisions(name)
        except ModelError as error:  # it may be another one that we are to run
            log.warning("model.unreadable", model=name, error=str(error), hint=error.hint)
            continue
        if precisions:  # a clip has none
            found[name] = precisions
    return found
