"""Frames to quantise with: evenly from all along the footage, no larger than the network sees them."""

from collections.abc import Sequence

from agent.capture.frame import Frame
from agent.config.tree import InputSize
from models.judging.compare import frames_of
from models.judging.likeness import as_input
from models.shelf.catalogue import NetworkCard
from models.shelf.store import Store

CUT_FROM = 640
"""Long side of the pictures that people are cut out of, pixels."""


def footage(clips: Sequence[str], store: Store, card: NetworkCard, size: InputSize, most: int) -> list[Frame]:
    """At most ``most`` frames, the same number of each clip: a file, a folder, or a sample clip's name.

    How long a clip is shows at its end: meanwhile every so many frames are kept, twice as many apart whenever there are
    too many of them. Raises CaptureError and ModelError for what cannot be read.
    """
    if card.detector is not None:  # the second of two stages looks at people in the picture itself
        card, size = store.seeing(card), InputSize(long_side=max(CUT_FROM, size.long_side or 0, size.width or 0))
    found: list[Frame] = []
    for clip in clips:
        kept: list[Frame] = []
        every = 1
        for number, frame in enumerate(frames_of(clip, store, None)):
            if number % every == 0:
                kept.append(as_input(frame, card, size))
            if len(kept) == 2 * most:
                kept, every = kept[::2], every * 2
        share = min(len(kept), most // len(clips))
        found += [kept[number * len(kept) // share] for number in range(share)]
    return found
