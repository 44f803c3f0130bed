"""What a lane runs: an engine, or two of them as one."""

from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from agent.capture.frame import Frame
from agent.inference.letterbox import Letterbox
from agent.inference.spec import EngineFacts, EngineSpec


class Request(Protocol):
    """What one frame is computed with: take it, start, wait, read ``outputs``, release."""

    outputs: tuple[NDArray[np.float32], ...]
    """In the order of the decoder's roles; valid from wait until the request is released."""

    def take(self, frame: Frame, *, alone: bool = False) -> Letterbox:
        """Write a frame into the request. ``alone``: it does not follow the frame before, nor the next one it."""

    def start(self) -> None:
        """Start on what was taken; returns at once."""

    def wait(self) -> None:
        """Wait for the result. Raises EngineError when inference failed."""

    @property
    def latency_ms(self) -> float:
        """Inference alone, of all stages."""

    @property
    def stages_ms(self) -> tuple[float, float] | None:
        """Inference of the detector and of the poses; None of a network of one stage."""


class Network(Protocol):
    """Compiled, and fed by acquire, start, wait and release of its requests, in order."""

    spec: EngineSpec
    generation: int
    """Grows by one at every switch; the pipeline stamps results with it."""

    @property
    def facts(self) -> EngineFacts:
        """What it turned out to be."""

    def acquire(self, timeout_s: float) -> Request | None:
        """An idle request, or None when all are still busy after ``timeout_s``."""

    def release(self, slot: Any) -> None:  # noqa: ANN401 - its own kind of request, each
        """Give a request back."""

    def close(self) -> None:
        """Wait for what still runs and give its memory back."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
