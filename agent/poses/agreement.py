"""How well the people one network finds agree with those a reference finds on the same frames."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from agent.poses.oks import similarity
from agent.poses.skeleton import Poses
from agent.wire.commands import Agreement

Floats = NDArray[np.float32]

CERTAIN = 0.3
"""People of the reference at this score should be found by the other side as well."""
POSSIBLE = 0.2
"""The other side finds them at this score; somewhat less, so that no difference around one threshold counts."""
ALIKE = 0.5
"""OKS from which two poses are of one person; COCO's loosest step."""
JOINT_SEEN = 0.2
"""Joints the reference scores lower do not count in the OKS."""
PEOPLE_MIN = 20
"""Fewer people than this on all frames together say nothing about a network."""


def best_likeness(reference: Poses, others: Poses) -> Floats:
    """(N,): the OKS of each certain person of ``reference`` with the possible one of ``others`` most like them."""
    certain, possible = reference.scores >= CERTAIN, others.scores >= POSSIBLE
    table = similarity(reference, others, JOINT_SEEN)[certain][:, possible]
    return np.asarray(table.max(axis=1, initial=0), np.float32)


class Tally:
    """Adds frames up."""

    def __init__(self) -> None:
        self._frames = 0
        self._others = 0
        self._invented = 0
        self._likeness: list[float] = []

    def add(self, reference: Poses, found: Poses) -> None:
        """Count one frame: what the reference finds, and what the other does, both down to a score of POSSIBLE."""
        of_found = best_likeness(found, reference)
        self._frames += 1
        self._others += len(of_found)
        self._invented += int((of_found < ALIKE).sum())
        self._likeness += best_likeness(reference, found).tolist()

    @property
    def others(self) -> int:
        """People the other side is certain of."""
        return self._others

    def agreement(self) -> Agreement:
        """The sums so far."""
        matched = [likeness for likeness in self._likeness if likeness >= ALIKE]
        return Agreement(
            frames=self._frames,
            people=len(self._likeness),
            missed=len(self._likeness) - len(matched),
            invented=self._invented,
            mean_oks=float(np.mean(matched)) if matched else None,
        )


class Outcome(StrEnum):
    """What a bar says of an agreement."""

    PASSED = "passed"
    FAILED = "failed"
    UNJUDGED = "unjudged"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judgement and, unless it is good, why."""

    outcome: Outcome
    reason: str = ""


def verdict(agreement: Agreement, *, missed_max: float, oks_min: float) -> Verdict:
    """Judge an agreement: at most ``missed_max`` of the people missed, the others with a mean OKS of ``oks_min``.

    One missed person is always allowed: among few, one is too large a fraction. Fewer than PEOPLE_MIN people cannot be
    judged.
    """
    people, missed, mean = agreement.people, agreement.missed, agreement.mean_oks
    if people < PEOPLE_MIN:
        return Verdict(
            Outcome.UNJUDGED, f"{people} people in {agreement.frames} frames are too few to judge: {PEOPLE_MIN} needed"
        )
    if missed > max(1, missed_max * people):
        share = f"{missed} of {people} people ({missed / people:.1%})"
        return Verdict(Outcome.FAILED, f"{share} that FP32 finds are missed: at most {missed_max:.1%} may be")
    if mean is None or mean < oks_min:
        return Verdict(Outcome.FAILED, f"the poses are not alike enough: mean OKS {mean or 0:.3f}, at least {oks_min}")
    return Verdict(Outcome.PASSED)
