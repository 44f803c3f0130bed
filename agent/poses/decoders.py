"""Which decoder reads which family of networks."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.errors import ModelError
from agent.inference.letterbox import Letterbox
from agent.poses.movenet import MoveNetDecoder
from agent.poses.openpose import OpenPoseDecoder
from agent.poses.rtmo import RtmoDecoder
from agent.poses.simcc import PeopleDecoder, SimccDecoder
from agent.poses.skeleton import Poses
from agent.poses.yolo import YoloDecoder
from agent.poses.yolox import YoloxDetector
from models.shelf.catalogue import NetworkCard

READ_MAX = 20
"""So many people are read where it is only seen whether the outputs can be."""


class Decoder(Protocol):
    """Turns a network's outputs into poses."""

    roles: tuple[str, ...]
    """The outputs it reads, in this order."""

    def decode(self, raw: tuple[NDArray[np.float32], ...], letterbox: Letterbox) -> Poses:
        """Poses in pixels of the original frame, best first."""


class Reader(Protocol):
    """Reads the outputs of one network, whatever is made of them."""

    roles: tuple[str, ...]
    """The outputs it reads, in this order."""

    def decode(self, raw: tuple[NDArray[np.float32], ...], letterbox: Letterbox) -> object:
        """What was found, in pixels of the original frame."""


def roles_of(card: NetworkCard) -> tuple[str, ...]:
    """Which outputs of the card's own network are read. Raises ModelError for a family that has no decoder."""
    return reader_for(card, (card.input.height, card.input.width)).roles


def reader_for(card: NetworkCard, size: tuple[int, int]) -> Reader:
    """Who reads the outputs of the card's own network at an input of ``size`` (height, width), down to any score.

    Raises ModelError for a family that has none.
    """
    match card.decoder.family:
        case "simcc":
            return SimccDecoder(bins=card.decoder.bins, person_score_min=0)
        case "yolox":
            return detector_for(card, size, score_min=0)
        case _:
            return decoder_for(card, person_score_min=0, persons_max=READ_MAX)


def detector_for(card: NetworkCard, size: tuple[int, int], *, score_min: float) -> YoloxDetector:
    """Who reads a detector's outputs at an input of ``size`` (height, width). Raises ModelError for another network."""
    if not card.decoder.detects:
        raise ModelError(f"{card.name} finds joints: it is no detector")
    return YoloxDetector(size=size, score_min=score_min, nms_iou=card.decoder.nms_iou)


def decoder_for(card: NetworkCard, *, person_score_min: float, persons_max: int) -> Decoder:
    """The decoder of a lane that runs this card. Raises ModelError for a family that has none."""
    match card.decoder.family:
        case "movenet":
            return MoveNetDecoder(person_score_min=person_score_min, persons_max=persons_max)
        case "openpose":
            return OpenPoseDecoder(
                layout=card.input.layout,
                stride=card.decoder.stride,
                person_score_min=person_score_min,
                persons_max=persons_max,
            )
        case "yolo" | "rtmo" as family:
            decoder = YoloDecoder if family == "yolo" else RtmoDecoder
            iou = card.decoder.nms_iou
            return decoder(person_score_min=person_score_min, persons_max=persons_max, nms_iou=iou)
        case "simcc":
            return PeopleDecoder(person_score_min=person_score_min, persons_max=persons_max)
        case "yolox":
            raise ModelError(
                f"{card.name} finds people and no joints", hint="it is the first stage of networks that name it"
            )
        case family:
            raise ModelError(f"{card.name} needs a decoder for {family}, which this version does not have")
