"""Which decoder reads which family of networks."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.errors import ModelError
from agent.inference.letterbox import Letterbox
from agent.poses.movenet import MoveNetDecoder
from agent.poses.openpose import OpenPoseDecoder
from agent.poses.rtmo import RtmoDecoder
from agent.poses.skeleton import Poses
from agent.poses.yolo import YoloDecoder
from models.shelf.catalogue import NetworkCard


class Decoder(Protocol):
    """Turns a network's outputs into poses."""

    roles: tuple[str, ...]
    """The outputs it reads, in this order."""

    def decode(self, raw: tuple[NDArray[np.float32], ...], letterbox: Letterbox) -> Poses:
        """Poses in pixels of the original frame, best first."""


def roles_of(card: NetworkCard) -> tuple[str, ...]:
    """Which outputs the decoder of a card's family reads. Raises ModelError for a family that has none."""
    return decoder_for(card, person_score_min=0, persons_max=1).roles


def decoder_for(card: NetworkCard, *, person_score_min: float, persons_max: int) -> Decoder:
    """The decoder of a card's family. Raises ModelError for a family that has none."""
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
        case "yolo":
            iou = card.decoder.nms_iou
            return YoloDecoder(person_score_min=person_score_min, persons_max=persons_max, nms_iou=iou)
        case "rtmo":
            return RtmoDecoder(person_score_min=person_score_min, persons_max=persons_max)
        case family:
            raise ModelError(f"{card.name} needs a decoder for {family}, which this version does not have")
