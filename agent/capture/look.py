"""A short look at a source: what it is, for whoever sets a box up."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from agent.capture.open import feed_of
from agent.capture.reader import Reader
from agent.config.tree import Camera
from agent.errors import CaptureError


@dataclass(frozen=True, slots=True)
class Findings:
    """What the source showed."""

    codec: str
    """As FFmpeg calls it; of a folder "images"."""
    width: int
    height: int
    fps: float | None
    """None where one picture came."""
    interlaced: bool
    key_every_s: float | None
    """Seconds from key frame to key frame; None where not two came. None is held back that long after a loss."""
    held_ms: float
    """The longest that a picture lay in the decoder."""
    damaged: int

    def __str__(self) -> str:
        words = [f"{self.width}x{self.height}", self.codec]
        if self.fps is not None:
            words.append(f"{self.fps:.1f} frames/s")
        if self.interlaced:
            words.append("interlaced (every other line is used)")
        if self.key_every_s:
            words.append(f"a key frame every {self.key_every_s:.1f} s")
        words.append(f"held back at most {self.held_ms:.0f} ms")
        if self.damaged:
            words.append(f"pictures damaged: {self.damaged}")
        return ", ".join(words)


def look(camera: Camera, resolve_clip: Callable[[str], Path], seconds: float) -> Findings:
    """Read for so many seconds, or up to the end. Raises :class:`CaptureError` with the cause where nothing comes."""
    feed = feed_of(camera, resolve_clip)
    with closing(feed.open()) as reader:
        return _seen(reader, feed.address, seconds)


def _seen(reader: Reader, address: str, seconds: float) -> Findings:
    until_s, picture = time.perf_counter() + seconds, None
    moments: list[float] = []
    keys: list[float] = []
    held_ms, interlaced = 0.0, False
    while (not moments or time.perf_counter() < until_s) and reader.grab():
        held_ms = max(held_ms, (time.perf_counter() - reader.arrived_s) * 1e3)
        moments.append(reader.position_s)
        interlaced |= getattr(reader, "interlaced", False)
        if getattr(reader, "key", False):
            keys.append(reader.position_s)
        if picture is None:
            picture = reader.retrieve()
    if picture is None:
        raise CaptureError(f"{address} holds nothing that can be decoded")
    height, width = picture.shape[:2]
    span_s = moments[-1] - moments[0]
    return Findings(
        codec=getattr(reader, "codec", "images"),
        width=width,
        height=height,
        fps=(len(moments) - 1) / span_s if span_s > 0 else None,
        interlaced=interlaced,
        key_every_s=(keys[-1] - keys[0]) / (len(keys) - 1) if len(keys) > 1 else None,
        held_ms=held_ms,
        damaged=reader.damaged,
    )
