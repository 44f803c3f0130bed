"""What a source yields, and the seam every source keeps."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from agent.capture.planes import Planes

Image = NDArray[np.uint8]
"""uint8 (H, W, 3), BGR."""
Picture = Image | Planes
"""As it came: pixels, or what a decoder has before it makes pixels of it. Either has the ``shape`` of the pixels."""


def image_of(picture: Picture) -> Image:
    """The pixels of a picture."""
    return picture.image() if isinstance(picture, Planes) else picture


@dataclass(frozen=True, slots=True)
class Region:
    """Where to look: pixels of the frame."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture. Whoever holds a frame owns its image: no source writes into it again."""

    picture: Picture
    """Already rotated upright."""
    seq: int
    """Grows by one for each frame the source took; a gap is a dropped frame."""
    captured_at: datetime
    """Wall clock, UTC, when the picture arrived."""
    captured_s: float
    """The same moment on time.perf_counter(), for ages that no clock change can bend."""
    capture_ms: float
    """What reading and decoding it cost; of a live source only what followed its arrival (V4L2 decodes then)."""
    region: Region | None = None
    """Where to look for people; None is the whole frame."""
    media_s: float | None = None
    """Position in a file or folder that may be read faster or slower than it plays; it goes on growing in a loop."""

    @property
    def image(self) -> Image:
        """uint8 (H, W, 3) BGR, the same array every time; made when it is asked for first."""
        return image_of(self.picture)

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.picture.shape[:2]
        return rows, columns

    @property
    def area(self) -> Region:
        """Where to look: ``region``, or all of it."""
        if self.region is not None:
            return self.region
        rows, columns = self.size
        return Region(0, 0, columns, rows)

    def cut(self) -> Image:
        """The part of the image to look at, not copied."""
        area = self.area
        return self.image[area.y : area.y + area.height, area.x : area.x + area.width]

    @property
    def scene_s(self) -> float:
        """Seconds of the clock by which people move: that of the file where it has one of its own."""
        return self.captured_s if self.media_s is None else self.media_s


CaptureCode = Literal[
    "camera.opened",
    "camera.lost",
    "camera.frozen",
    "camera.back",
    "camera.changed",
    "camera.damaged",
    "camera.software",
]


@dataclass(frozen=True, slots=True)
class CaptureEvent:
    """Something happened to the camera. ``facts`` holds no password."""

    code: CaptureCode
    message: str
    facts: dict[str, str | int | float | bool | None] = field(default_factory=dict)


Notify = Callable[[CaptureEvent], Any]


@dataclass(frozen=True, slots=True)
class CaptureCounts:
    """Running totals since the source was opened."""

    captured: int
    dropped: int
    damaged: int = 0
    """Pictures that could not be decoded; no frame was made of them."""

    def since(self, before: "CaptureCounts") -> "CaptureCounts":
        """What came after these totals."""
        return CaptureCounts(
            self.captured - before.captured, self.dropped - before.dropped, self.damaged - before.damaged
        )


class EndOfSource(Exception):  # noqa: N818 - a normal end, not an error
    """The file or folder is at its end and does not loop."""


class Source(Protocol):
    """A camera, stream, file or folder, opened by :func:`agent.capture.open_source`."""

    def read(self, timeout_s: float) -> Frame | None:
        """Return the next frame, or None when none came in ``timeout_s``. Raises :class:`EndOfSource` at the end."""

    def counts(self) -> CaptureCounts:
        """Frames captured and dropped so far."""

    def close(self) -> None:
        """Stop and release the handle; a read in another thread then returns None or raises EndOfSource."""
