"""What an engine is asked to be, and what it turned out to be."""

import math
from dataclasses import dataclass
from typing import Literal

from agent.capture.frame import Frame
from agent.config.tree import InputSize
from agent.errors import ConfigError
from agent.wire.affinity import Affinity, Plan
from models.shelf.catalogue import NetworkCard, Precision

Hint = Literal["latency", "throughput"]


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """Everything that decides how one network runs."""

    model: str
    device: str
    precision: Precision
    height: int
    width: int
    hint: Hint = "latency"
    streams: int | None = None
    requests: int | None = None
    """Infer requests in flight; None asks OpenVINO for its optimum and adds one that is being prepared."""
    threads: int | None = None
    affinity: Affinity | None = None
    """Which layers run on which device of a HETERO device; None is OpenVINO's own placement."""
    detector: str | None = None
    """Device of the first of two stages; None is ``device``."""


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What OpenVINO reports of the compiled network."""

    execution_devices: tuple[str, ...]
    model_precision: str
    inference_precision: str
    """What most convolutions really run in, as read from the compiled graph; the hint where a device hides it."""
    submodels: int | None
    infer_requests: int
    compile_ms: float
    first_infer_ms: float
    from_cache: bool
    streams: int | None = None
    """Of all devices that run it; None where they do not say."""
    threads: int | None = None
    plan: Plan | None = None
    """Where the operations went; None unless an affinity was asked for."""


def input_size(wanted: InputSize, card: NetworkCard, frame: Frame | None) -> tuple[int, int]:
    """Height and width of the input: as configured, else as the card says, a detector's with the shape of the frame.

    With ``long_side`` the short side follows the frame's region of interest, rounded up to the network's stride so
    that nothing is cut; without a frame the input is square. Raises ConfigError for a size the network cannot take.
    """
    default = (card.input.height, card.input.width)
    if wanted.height is not None and wanted.width is not None:
        size = (wanted.height, wanted.width)
    elif wanted.long_side is not None:
        size = _follow(wanted.long_side, card.input.stride, frame)
    elif card.decoder.detects and card.input.resizable:
        size = _follow(max(default), card.input.stride, frame)
    else:
        size = default
    if size != default and not card.input.resizable:
        raise ConfigError(f"model.input: {card.name} takes {default[1]}x{default[0]} and nothing else")
    given = {"height": size[0], "width": size[1]} if wanted.long_side is None else {"long_side": wanted.long_side}
    for name, side in given.items():
        if side % card.input.stride:
            near = max(1, round(side / card.input.stride)) * card.input.stride
            raise ConfigError(
                f"model.input: {name} {side} is not a multiple of {card.input.stride}, the stride of {card.name}",
                hint=f"the nearest is {near}",
            )
    return size


def _follow(long_side: int, stride: int, frame: Frame | None) -> tuple[int, int]:
    if frame is None:
        return long_side, long_side
    rows, columns = frame.area.height, frame.area.width
    short_side = math.ceil(round(long_side * min(rows, columns) / max(rows, columns), 3) / stride) * stride
    return (short_side, long_side) if columns >= rows else (long_side, short_side)
