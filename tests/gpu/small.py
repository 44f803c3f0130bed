"""The network of two convolutions on the GPU: it compiles in a moment, and shows what a device does with a spec."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openvino as ov

from agent.inference.checked import build_checked
from agent.inference.engine import Engine, with_preprocessing
from agent.inference.properties import properties
from agent.inference.spec import EngineSpec
from agent.poses.decoders import decoder_for
from models.shelf.catalogue import Precision
from models.shelf.store import Store
from tests.broken_networks import sound

SIDE = 64


class Small:
    """Installed in a folder, with a cache beside it."""

    def __init__(self, core: ov.Core, folder: Path) -> None:
        self.core = core
        self._cache = folder / "cache"
        self._store = Store(folder / "networks")
        self._name = sound(folder / "networks")
        self._card = self._store.card(self._name)
        self._roles = decoder_for(self._card, person_score_min=0.2, persons_max=20).roles

    @property
    def networks(self) -> Path:
        """The folder it is installed in."""
        return self._cache.parent / "networks"

    def engine(self, device: str, precision: Precision = "FP32", **spec: Any) -> Engine:
        """Build and check an engine, from the cache where it was built before. Raises EngineError, CommandError."""
        wanted = EngineSpec(self._name, device, precision, SIDE, SIDE, **spec)
        return build_checked(self.core, self._store, self._card, wanted, self._roles, self._cache)

    def told(self, device: str, precision: Precision = "FP32", **spec: Any) -> dict[str, dict[str, Any]]:
        """What each device answers of its properties when the network is compiled for a spec: device to values."""
        wanted = EngineSpec(self._name, device, precision, SIDE, SIDE, **spec)
        network = self.core.read_model(self._store.variant(self._name, precision))
        network = with_preprocessing(network, self._card, wanted)
        compiled = self.core.compile_model(network, device, properties(self.core, wanted))
        try:
            found: dict[str, dict[str, Any]] = compiled.get_property("DEVICE_PROPERTIES")
        except RuntimeError:  # a device alone
            return {
                device: {name: compiled.get_property(name) for name in compiled.get_property("SUPPORTED_PROPERTIES")}
            }
        return found


@contextmanager
def broken(monkeypatch: Any, folder: Path, how: str) -> Iterator[None]:
    """For a while the GPU's driver hangs, fails or builds nothing, see fakegpu.c."""
    wish = folder / how
    monkeypatch.setenv(f"FAKEGPU_{how}", str(wish))
    wish.touch()
    yield
    wish.unlink()
