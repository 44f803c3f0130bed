"""Where two networks, precisions or input sizes disagree about the people of a clip."""

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from agent.capture import open_source
from agent.capture.frame import EndOfSource, Frame
from agent.config.tree import Camera, InputSize
from agent.errors import ModelError
from agent.poses.agreement import POSSIBLE, Tally
from agent.wire.wording import shown
from models.getting.progress import TellAny, untold
from models.judging.run import Runner
from models.shelf.catalogue import PRECISIONS, Precision
from models.shelf.store import Store

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
class Comparison:
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


def compare(
    a: Side,
    b: Side,
    store: Store,
    *,
    clip: str,
    frames: int | None = None,
    device: str = "CPU",
    tell: TellAny = untold,
) -> Comparison:
    """Run both over the first ``frames`` frames of ``clip``: a file, a folder, or the name of a sample clip.

    ``tell`` hears before each frame; of how many is known where ``frames`` are given.
    """
    tally = Tally()
    with _runner(a, store, device) as runner_a, _runner(b, store, device) as runner_b:
        for number, frame in enumerate(frames_of(clip, store, frames)):
            tell(f"comparing, frame {number + 1}", None if frames is None else number / frames)
            tally.add(runner_a.poses(frame), runner_b.poses(frame))
    found = tally.agreement()
    return Comparison(
        a=str(a),
        b=str(b),
        frames=found.frames,
        people_a=found.people,
        people_b=tally.others,
        matched=found.people - found.missed,
        mean_oks=found.mean_oks,
        missed=found.missed,
        invented=found.invented,
    )


def _runner(side: Side, store: Store, device: str) -> Runner:
    size = InputSize(long_side=side.long_side)
    return Runner(side.name, store, precision=side.precision, device=device, size=size, score_min=POSSIBLE)


def frames_of(clip: str, store: Store, most: int | None) -> Iterator[Frame]:
    """The first ``most`` frames of ``clip``, all of them by default: a file, a folder, or a sample clip's name.

    Raises CaptureError and ModelError for what cannot be read.
    """
    try:
        source = clip if Path(clip).exists() else f"clip:{clip.removeprefix('clip:')}"
        camera = Camera(source=source, pace="fast", lossless=True)
    except (ValidationError, OSError) as error:  # empty, or longer than any file's name
        raise ModelError(
            f"{shown(clip)} is no clip", hint="give a video file, a folder of pictures, or the name of a sample clip"
        ) from error
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
