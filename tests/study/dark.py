"""A box for studies: one network that works and one that fails in the dark, and a clip in which it is dark."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from agent.benchmark.clips import Clips
from agent.benchmark.limit import Limits
from agent.benchmark.runs import Bench
from agent.config.tree import Config
from agent.control.asking import Box
from agent.control.inventory import installed
from agent.control.samples import Samples
from agent.control.workshop import Workshop
from agent.inference.devices import open_core
from agent.wire.commands import Measuring
from models.shelf.store import Store
from tests import broken_networks


@contextmanager
def bench_in(folder: Path, measuring: Measuring) -> Iterator[Bench]:
    """The bench of such a box, with the clip that ``measuring`` looks at."""
    for install in (broken_networks.sound, broken_networks.raises_in_the_dark):
        install(folder / "networks")
    pictures = folder / "dark"
    pictures.mkdir()
    for number in range(3):
        cv2.imwrite(str(pictures / f"{number}.png"), np.zeros((64, 64, 3), np.uint8))
    config = Config.model_validate(
        {
            "paths": {"state": folder / "state", "models": folder / "networks", "cache": folder / "cache"},
            "camera": {"source": str(pictures)},
            "model": {"name": "tiny-sound"},
            "devices": {"aliases": {"SIMCPU": "CPU"}},
        }
    )
    store, core = Store(config.paths.models), open_core(config.devices.aliases)
    box = Box("hall", ("CPU", "SIMCPU"), installed(store))
    with Clips(config, store, Samples()).footage(measuring, lambda _what: None, threading.Event()) as footage:
        yield Bench(config, store, Workshop(config, core, store), Limits(core), box, footage)
