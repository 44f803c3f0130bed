"""Whom a network finds in pictures, straight from memory, and how alike that is to what FP32 finds."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import openvino as ov

from agent.capture.frame import Frame
from agent.config.tree import InputSize
from agent.inference.engine import Places, Slot, with_preprocessing
from agent.inference.letterbox import prepare
from agent.inference.spec import EngineSpec, input_size
from agent.poses.agreement import CERTAIN, POSSIBLE, best_likeness
from agent.poses.decoders import decoder_for
from agent.poses.skeleton import Poses
from models.judging.run import PERSONS_MAX
from models.shelf.catalogue import NetworkCard


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture that is an input already, and whom FP32 finds in it."""

    frame: Frame
    people: Poses

    @property
    def certain(self) -> int:
        """How many people it can be asked for."""
        return int((self.people.scores >= CERTAIN).sum())


def as_input(frame: Frame, card: NetworkCard, size: InputSize) -> Frame:
    """What the network sees of ``frame``, fitted into the input: every engine of that size takes it as it is.

    A fraction of a camera's picture, so that hundreds can be kept in memory. Raises ConfigError.
    """
    image = np.empty((*input_size(size, card, frame), 3), np.uint8)
    prepare(frame, image)
    return replace(frame, picture=image, region=None)


class Finder:
    """Runs networks of one card at f32 on the CPU, one inference after the other."""

    def __init__(self, core: ov.Core, card: NetworkCard) -> None:
        self._core = core
        self._card = card
        self._decoder = decoder_for(card, person_score_min=POSSIBLE, persons_max=PERSONS_MAX)

    def find(self, model: ov.Model, frames: Iterable[Frame], told: Callable[[], None] = lambda: None) -> list[Poses]:
        """Everybody in each of the frames, which are inputs already; ``told`` hears of each one done."""
        slots: dict[tuple[int, ...], Slot] = {}
        found = []
        for frame in frames:
            size = frame.image.shape[:2]
            if size not in slots:
                slots[size] = self._slot(model, *size)
            slot = slots[size]
            letterbox = prepare(frame, slot.input)
            slot.start()
            slot.wait()
            found.append(self._decoder.decode(slot.outputs, letterbox))
            told()
        return found

    def loss(self, model: ov.Model, scenes: Sequence[Scene]) -> float:
        """1 less the mean OKS of the people of ``scenes`` with whom ``model`` finds in their place: 0 is equal."""
        found = self.find(model, (scene.frame for scene in scenes))
        alike = [best_likeness(scene.people, poses) for scene, poses in zip(scenes, found, strict=True)]
        return 1 - float(np.concatenate(alike).mean())

    def _slot(self, model: ov.Model, height: int, width: int) -> Slot:
        spec = EngineSpec(self._card.name, "CPU", "FP32", height, width)
        network = with_preprocessing(model.clone(), self._card, spec)
        compiled = self._core.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        outputs = [compiled.output(self._card.decoder.outputs[role]) for role in self._decoder.roles]
        return Slot(compiled.create_infer_request(), outputs, Places(None))
