"""Running an installed network outside the agent: pictures in, poses out, one after the other.

The pictures go the way frames go in the agent: the same letterbox, engine and decoder.
"""

from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from agent.capture.frame import Frame
from agent.config.tree import InputSize
from agent.errors import ModelError
from agent.inference.build import build
from agent.inference.devices import open_core, require_devices
from agent.inference.engine import Engine, build_engine
from agent.inference.network import Network
from agent.inference.pair import Pair, Stages
from agent.inference.spec import EngineFacts, EngineSpec, input_size
from agent.pipeline import infer
from agent.poses.decoders import decoder_for, roles_of
from agent.poses.simcc import posed
from agent.poses.skeleton import Poses
from models.shelf.catalogue import NetworkCard, Precision
from models.shelf.store import Store

Floats = NDArray[np.float32]

PERSONS_MAX = 20
"""pycocotools' own limit for keypoints."""


class Runner:
    """One network at one precision; an engine for each input size that the pictures ask for."""

    def __init__(
        self, name: str, store: Store, *, precision: Precision, device: str, size: InputSize, score_min: float
    ) -> None:
        self._card = store.card(name)
        self._store = store
        store.variant(name, precision)
        self._precision = precision
        self._device = device
        self._size = size
        self._decoder = decoder_for(self._card, person_score_min=score_min, persons_max=PERSONS_MAX)
        self._core = open_core({})
        require_devices(self._core, device)
        self._engines: dict[tuple[int, int], Network] = {}

    def poses(self, frame: Frame) -> Poses:
        """Everybody in ``frame``. Raises EngineError and ConfigError as the agent would."""
        return infer(self.engine(frame), self._decoder, frame)

    def poses_of(self, frame: Frame, boxes: Floats) -> Poses:
        """Who is in each of (N, 4) boxes of ``frame``, in their order, whatever their score: x, y, width, height.

        Raises ModelError for a network of one stage.
        """
        engine = self.engine(frame)
        if not isinstance(engine, Pair):
            raise ModelError(f"{self._card.name} finds people by itself: it takes no boxes")
        return posed(engine.look(frame, boxes))

    def engine(self, frame: Frame) -> Network:
        """What takes this frame, compiled when it is the first of its size."""
        height, width = input_size(self._size, self._store.seeing(self._card), frame)
        if (height, width) not in self._engines:
            spec = EngineSpec(self._card.name, self._device, self._precision, height, width)
            self._engines[height, width] = build(self._store, self._card, spec, Stages(PERSONS_MAX), self._make)
        return self._engines[height, width]

    def _make(self, card: NetworkCard, spec: EngineSpec) -> Engine:
        xml = self._store.variant(card.name, spec.precision)
        return build_engine(self._core, card, xml, spec, roles_of(card), cache=None)

    @property
    def facts(self) -> EngineFacts:
        """What the first engine really runs as. Raises ModelError before the first picture."""
        for engine in self._engines.values():
            return engine.facts
        raise ModelError("no picture was given")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for engine in self._engines.values():
            engine.close()


def describe(size: InputSize, card: NetworkCard) -> str:
    """The input size as a table shows it."""
    if size.long_side is not None:
        return f"{size.long_side} px"
    if size.height is None and card.decoder.detects:
        return f"{max(card.input.height, card.input.width)} px"
    return f"{size.height or card.input.height}x{size.width or card.input.width}"
