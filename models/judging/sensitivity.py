"""Which layers of a network can be quantised: what each alone costs, measured on people."""

from collections.abc import Sequence
from dataclasses import dataclass

import openvino as ov

from agent.errors import ModelError
from models.getting.progress import Tell
from models.judging import ptq
from models.judging.likeness import Finder, Scene
from models.shelf.catalogue import NetworkCard

WORTHWHILE = 0.005
"""A layer that does less of a network's arithmetic stays as it is: nothing would be gained."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer that can be quantised."""

    name: str
    work: int
    """Multiply-accumulates of one inference."""
    loss: float
    """OKS lost when it alone is quantised."""

    @property
    def cost(self) -> float:
        """Loss per arithmetic saved."""
        return self.loss / self.work


def measure(
    finder: Finder,
    card: NetworkCard,
    model: ov.Model,
    pictures: Sequence[Scene],
    few: Sequence[Scene],
    tell: Tell,
    least: float = WORTHWHILE,
) -> tuple[Layer, ...]:
    """The layers of ``model`` from the cheapest, each alone calibrated on ``pictures`` and measured on ``few``.

    Layers that do less than ``least`` of the arithmetic are left out.
    """
    tell("quantising everything once", 0)
    work = ptq.work_by_layer(model, card, *pictures[0].frame.image.shape[:2])
    names = [name for name in work if work[name] >= least * sum(work.values())]
    full = ptq.quantised(model, card, [scene.frame.image for scene in pictures], only=names, correct_bias=False)
    layers = []
    for number, name in enumerate(names):
        tell(f"measuring layer {number + 1} of {len(names)}", 0.1 + 0.9 * number / len(names))
        alone = ptq.transplant(model, full, name)
        if alone is not None:
            layers.append(Layer(name, work[name], max(finder.loss(alone, few), 0.0)))
    return tuple(sorted(layers, key=lambda layer: (layer.cost, -layer.work)))


def choose(layers: Sequence[Layer], budget: float) -> set[str]:
    """Those of ``layers``, from the first, whose losses fit together into ``budget``. Raises ModelError for none."""
    chosen, left = set(), budget
    for layer in layers:
        if layer.loss <= left:
            left -= layer.loss
            chosen.add(layer.name)
    if not chosen:
        raise ModelError("no layer can be quantised: each alone costs too much accuracy")
    return chosen
