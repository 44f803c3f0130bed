"""Running an installed network outside the agent: pictures in, poses out, one after the other.

The pictures go the way frames go in the agent: the same letterbox, engine and decoder.
"""

from pathlib import Path
from types import TracebackType
from typing import Self

from agent.capture.frame import Frame
from agent.config.tree import InputSize
from agent.errors import ModelError
from agent.inference.devices import open_core
from agent.inference.engine import Engine, build_engine
from agent.inference.spec import EngineFacts, EngineSpec, input_size
from agent.pipeline import infer
from agent.poses.decoders import decoder_for
from agent.poses.skeleton import Poses
from models.shelf.catalogue import NetworkCard, Precision
from models.shelf.store import Store

PERSONS_MAX = 20
"""pycocotools' own limit for keypoints."""


class Runner:
    """One network at one precision; an engine for each input size that the pictures ask for."""

    def __init__(
        self, name: str, store: Store, *, precision: Precision, device: str, size: InputSize, score_min: float
    ) -> None:
        self._card = store.card(name)
        self._xml: Path = store.variant(name, precision)
        self._precision = precision
        self._device = device
        self._size = size
        self._decoder = decoder_for(self._card, person_score_min=score_min, persons_max=PERSONS_MAX)
        self._core = open_core({})
        self._engines: dict[tuple[int, int], Engine] = {}

    def poses(self, frame: Frame) -> Poses:
        """Everybody in ``frame``. Raises EngineError and ConfigError as the agent would."""
        return infer(self.engine(frame), self._decoder, frame)

    def engine(self, frame: Frame) -> Engine:
        """The engine that takes this frame, compiled when it is the first of its size."""
        height, width = input_size(self._size, self._card, frame)
        if (height, width) not in self._engines:
            spec = EngineSpec(self._card.name, self._device, self._precision, height, width)
            engine = build_engine(self._core, self._card, self._xml, spec, self._decoder.roles, cache=None)
            self._engines[height, width] = engine
        return self._engines[height, width]

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
    return f"{size.height or card.input.height}x{size.width or card.input.width}"
