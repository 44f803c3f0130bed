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
            precisions = _runnable(store, name)
        except ModelError as error:  # it may be another one that we are to run
            log.warning("model.unreadable", model=name, error=str(error), hint=error.hint)
            continue
        if precisions:
            found[name] = precisions
    return found


def _runnable(store: Store, name: str) -> tuple[Precision, ...]:
    """The precisions a lane can run; a clip has none, nor has a detector, which is the first stage of others.

    Raises ModelError, also for a network whose detector is missing.
    """
    precisions = store.precisions(name)
    if not precisions:
        return ()
    card = store.card(name)
    if card.detector is not None:
        store.precisions(card.detector)
    return () if card.decoder.detects else precisions
