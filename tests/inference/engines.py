"""Engines for tests: the real network, compiled for a spec."""

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from agent.capture.frame import Image
from agent.inference.devices import open_core
from agent.inference.engine import Engine, Slot, build_engine
from agent.inference.spec import EngineSpec
from agent.poses.movenet import MoveNetDecoder
from models.shelf import catalogue
from models.shelf.store import Store

Floats = NDArray[np.float32]

CARD = catalogue.network("movenet-multipose")
CORE: ov.Core = open_core({"SIMCPU": "CPU"})
DECODER = MoveNetDecoder(person_score_min=0.2, persons_max=20)


def movenet(
    store: Store,
    size: tuple[int, int] = (128, 128),
    *,
    cache: Path | None = None,
    xml: Path | None = None,
    **spec: Any,
) -> Engine:
    """Compile movenet-multipose for ``size`` (height, width) and the spec's other fields; CPU and FP32 unless given."""
    spec = {"device": "CPU", "precision": "FP32"} | spec
    wanted = EngineSpec(model=CARD.name, height=size[0], width=size[1], **spec)
    return build_engine(CORE, CARD, xml or store.variant(CARD.name, wanted.precision), wanted, DECODER.roles, cache)


def taken(engine: Engine) -> Slot:
    """Take a slot of an engine that must have one."""
    slot = engine.acquire(timeout_s=10.0)
    assert slot is not None, "no slot is idle"
    return slot


def heads_of(engine: Engine, image: Image) -> tuple[Floats, ...]:
    """Run one picture of the engine's input size, nothing else in flight; returns copies of the outputs."""
    slot = taken(engine)
    slot.input[:] = image
    slot.start()
    slot.wait()
    outputs = tuple(output.copy() for output in slot.outputs)
    engine.release(slot)
    return outputs
