"""Real pictures for tests: frames of the sample clip, and the photographs of the test data."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.capture.frame import Frame, Picture
from agent.capture.video import open_file
from models.shelf.store import Store


def as_frame(picture: Picture, seq: int = 0) -> Frame:
    """Wrap a picture as a source would."""
    return Frame(picture, seq, datetime.now(UTC), 0.0, 0.0)


def clip_frames(store: Store, numbers: Sequence[int]) -> list[Frame]:
    """Decode some frames of vtest, numbers ascending."""
    reader, frames = open_file(store.clip("vtest")), []
    for number in range(max(numbers) + 1):
        assert reader.grab(), f"vtest has no frame {number}"
        if number in numbers and (picture := reader.retrieve()) is not None:
            frames.append(as_frame(picture, number))
    reader.close()
    return frames


def photographs(shared_data: Path) -> list[Frame]:
    """Read the four pictures of coco-mini; skips where there are none."""
    paths = sorted((shared_data / "coco-mini").glob("*.jpg"))
    if not paths:
        pytest.skip(f"no test data: {shared_data}/coco-mini holds no pictures")
    return [as_frame(np.asarray(cv2.imread(str(path)), np.uint8), seq) for seq, path in enumerate(paths)]
