"""Whom a network finds in pictures, straight from memory, and how alike that is to what FP32 finds."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from agent.capture.frame import Frame
from agent.config.tree import InputSize
from agent.inference.crop import Crops
from agent.inference.engine import Places, Slot, with_preprocessing
from agent.inference.letterbox import Letterbox, prepare
from agent.inference.spec import EngineSpec, input_size
from agent.poses.agreement import CERTAIN, POSSIBLE, best_likeness
from agent.poses.decoders import Decoder, decoder_for, detector_for
from agent.poses.simcc import BODY, SimccDecoder
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
    prepare(frame, image, centred=card.decoder.centred)
    return replace(frame, picture=image, region=None)


def crops_of(scene: Scene, card: NetworkCard) -> list[Frame]:
    """What a pose network sees of each person of a scene."""
    crops = Crops.around(scene.people.boxes, (card.input.height, card.input.width))
    images = [np.empty((card.input.height, card.input.width, 3), np.uint8) for _ in range(len(crops))]
    for index, image in enumerate(images):
        crops.cut(scene.frame.image, index, image)
    return [replace(scene.frame, picture=image, region=None) for image in images]


class BoxDecoder:
    """A detector's outputs as poses whose joints are corners of their box: alike where the boxes are."""

    def __init__(self, card: NetworkCard, size: tuple[int, int]) -> None:
        self._detector = detector_for(card, size, score_min=POSSIBLE)
        self.roles = self._detector.roles

    def decode(self, raw: tuple[NDArray[np.float32], ...], letterbox: Letterbox) -> Poses:
        """Poses in pixels of the original frame, best first."""
        boxes, scores = self._detector.decode(raw, letterbox)
        corner = np.arange(BODY)
        keypoints = np.ones((len(boxes), BODY, 3), np.float32)
        for axis, far in enumerate((corner % 2, corner // 2 % 2)):
            keypoints[..., axis] = boxes[:, axis, None] + boxes[:, axis + 2, None] * far
        return Poses(keypoints, boxes, scores)


class Finder:
    """Runs networks of one card at f32 on the CPU, one inference after the other.

    Of two stages each has one of its own: the detector is asked for boxes, the pose network for the one person whom its
    picture shows.
    """

    def __init__(self, core: ov.Core, card: NetworkCard) -> None:
        self._core = core
        self._card = card

    def find(self, model: ov.Model, frames: Iterable[Frame], told: Callable[[], None] = lambda: None) -> list[Poses]:
        """Everybody in each of the frames, which are inputs already; ``told`` hears of each one done."""
        able: dict[tuple[int, int], tuple[Slot, Decoder]] = {}
        found = []
        for frame in frames:
            size = frame.size
            if size not in able:
                decoder = self._decoder(size)
                able[size] = self._slot(model, size, decoder.roles), decoder
            slot, decoder = able[size]
            letterbox = prepare(frame, slot.input)
            slot.start()
            slot.wait()
            found.append(decoder.decode(slot.outputs, letterbox))
            told()
        return found

    def loss(self, model: ov.Model, scenes: Sequence[Scene]) -> float:
        """1 less the mean OKS of the people of ``scenes`` with whom ``model`` finds in their place: 0 is equal."""
        found = self.find(model, (scene.frame for scene in scenes))
        alike = [best_likeness(scene.people, poses) for scene, poses in zip(scenes, found, strict=True)]
        return 1 - float(np.concatenate(alike).mean())

    def _decoder(self, size: tuple[int, int]) -> Decoder:
        card = self._card
        if card.decoder.detects:
            return BoxDecoder(card, size)
        if card.detector is not None:
            return SimccDecoder(bins=card.decoder.bins, person_score_min=POSSIBLE)
        return decoder_for(card, person_score_min=POSSIBLE, persons_max=PERSONS_MAX)

    def _slot(self, model: ov.Model, size: tuple[int, int], roles: Iterable[str]) -> Slot:
        spec = EngineSpec(self._card.name, "CPU", "FP32", *size)
        network = with_preprocessing(model.clone(), self._card, spec)
        compiled = self._core.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        outputs = [compiled.output(self._card.decoder.outputs[role]) for role in roles]
        return Slot(compiled.create_infer_request(), outputs, Places(None))
