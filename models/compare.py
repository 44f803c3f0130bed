"""Where two networks, precisions or input sizes disagree about the people of a clip."""

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from agent.capture import open_source
from agent.capture.frame import EndOfSource, Frame
from agent.config import Camera, InputSize
from agent.errors import ModelError
from agent.poses.oks import similarity
from agent.poses.skeleton import Poses
from models.catalogue import PRECISIONS, Precision
from models.run import Runner
from models.store import Store

Floats = NDArray[np.float32]

CERTAIN = 0.3
"""People at this score should be found by the other side as well."""
POSSIBLE = 0.2
"""The other side finds them at this score; somewhat less, so that no difference around one threshold counts."""
ALIKE = 0.5
"""OKS from which two poses are of one person; COCO's loosest step."""
JOINT_SEEN = 0.2
"""Joints the reference scores lower do not count in the OKS."""

_SIDE = re.compile(r"(?P<name>[a-z0-9][a-z0-9-]*)(@(?P<precision>\w+))?(:(?P<long_side>\d+))?")


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that are compared."""

    name: str
    precision: Precision
    long_side: int | None
    """Pixels of the input; None is the network's own size."""

    def __str__(self) -> str:
        return f"{self.name}@{self.precision}" + (f":{self.long_side}" if self.long_side else "")


@dataclass(frozen=True, slots=True)
class Agreement:
    """What two sides found on the same frames."""

    a: str
    b: str
    frames: int
    people_a: int
    """People of A at score 0.3 or more, over all frames."""
    people_b: int
    """People of B at score 0.3 or more, over all frames."""
    matched: int
    """People of A whom B found too."""
    mean_oks: float | None
    """Of the matched, with the best of B's people; None without any."""
    missed: int
    """People of A whom B did not find."""
    invented: int
    """People of B whom A did not find."""


def parse_side(text: str) -> Side:
    """Read NAME[@PRECISION][:LONG_SIDE]. Raises ModelError."""
    match = _SIDE.fullmatch(text)
    precision = (match["precision"] or "FP32").upper() if match else ""
    if match is None or precision not in PRECISIONS or not 32 <= int(match["long_side"] or 32) <= 4096:
        raise ModelError(
            f"{text!r} is not NAME[@PRECISION][:LONG_SIDE]",
            hint=f"for example movenet-multipose@FP16:384; precisions are {', '.join(PRECISIONS)}",
        )
    return Side(match["name"], cast(Precision, precision), int(match["long_side"]) if match["long_side"] else None)


def compare(a: Side, b: Side, store: Store, *, clip: str, frames: int | None = None, device: str = "CPU") -> Agreement:
    """Run both over the first ``frames`` frames of ``clip``: a file, a folder, or the name of a sample clip."""
    seen = people_a = people_b = invented = 0
    best: list[float] = []
    with _runner(a, store, device) as runner_a, _runner(b, store, device) as runner_b:
        for frame in _frames(clip, store, frames):
            found_a, found_b = runner_a.poses(frame), runner_b.poses(frame)
            of_a, of_b = best_likeness(found_a, found_b), best_likeness(found_b, found_a)
            seen += 1
            people_a += len(of_a)
            people_b += len(of_b)
            best += of_a.tolist()
            invented += int((of_b < ALIKE).sum())
    matched = [likeness for likeness in best if likeness >= ALIKE]
    return Agreement(
        a=str(a),
        b=str(b),
        frames=seen,
        people_a=people_a,
        people_b=people_b,
        matched=len(matched),
        mean_oks=float(np.mean(matched)) if matched else None,
        missed=len(best) - len(matched),
        invented=invented,
    )


def best_likeness(reference: Poses, others: Poses) -> Floats:
    """The OKS of each certain person of ``reference`` with the possible one of ``others`` most like them."""
    certain, possible = reference.scores >= CERTAIN, others.scores >= POSSIBLE
    table = similarity(reference, others, JOINT_SEEN)[certain][:, possible]
    return np.asarray(table.max(axis=1, initial=0), np.float32)


def _runner(side: Side, store: Store, device: str) -> Runner:
    size = InputSize(long_side=side.long_side)
    return Runner(side.name, store, precision=side.precision, device=device, size=size, score_min=POSSIBLE)


def _frames(clip: str, store: Store, most: int | None) -> Iterator[Frame]:
    source = clip if Path(clip).exists() else f"clip:{clip.removeprefix('clip:')}"
    camera = Camera(source=source, pace="fast", lossless=True)
    with closing(open_source(camera, resolve_clip=store.clip, notify=lambda _event: None)) as frames:
        taken = 0
        while most is None or taken < most:
            try:
                frame = frames.read(timeout_s=60.0)
            except EndOfSource:
                return
            if frame is not None:
                taken += 1
                yield frame
