"""People for the small input of the tests: squares of the sample clip with one person in each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from agent.capture.frame import Frame, Region
from agent.inference.engine import Engine
from agent.pipeline import infer
from agent.poses.agreement import CERTAIN, POSSIBLE, best_likeness
from agent.poses.decoders import decoder_for
from agent.poses.skeleton import Poses
from models.shelf.store import Store
from tests.footage import clip_frames
from tests.inference.engines import CARD

SIZE: Final = (128, 128)
"""Height and width of the networks' input."""
PLACES: Final = {
    190: Region(510, 229, 119, 119),
    390: Region(583, 273, 132, 132),
    670: Region(177, 329, 159, 159),
}
"""Frame of vtest to where somebody stands, whom FP32 on the processor finds at a score of 0.55 and more."""
DECODER: Final = decoder_for(CARD, person_score_min=POSSIBLE, persons_max=20)


@dataclass(frozen=True, slots=True)
class People:
    """Frames, and whom the processor finds in them at FP32."""

    frames: Sequence[Frame]
    found: Sequence[Poses]

    def oks(self, engine: Engine) -> float:
        """The lowest likeness of a person the processor is certain of with the same one on this engine; 0 if missed."""
        likeness = [
            best_likeness(reference, infer(engine, DECODER, frame))
            for frame, reference in zip(self.frames, self.found, strict=True)
        ]
        return float(np.concatenate(likeness).min())


def people(store: Store, reference: Engine) -> People:
    """Look for the people with a reference engine. Raises AssertionError where it is not certain of one on each."""
    frames = [replace(frame, region=PLACES[frame.seq]) for frame in clip_frames(store, list(PLACES))]
    found = [infer(reference, DECODER, frame) for frame in frames]
    assert all((poses.scores >= CERTAIN).any() for poses in found), "the reference misses somebody"
    return People(frames, found)
