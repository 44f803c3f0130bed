"""The way of ids and of the scene's clock through the agent."""

import json
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from agent.capture import open_source
from agent.capture.frame import Frame
from agent.config.tree import Camera
from agent.output.keypoints import encode_keypoints
from agent.pipeline import Result
from agent.poses.skeleton import Poses
from models.shelf.store import Store
from tests.tracking.crowd import Walker, crowd

FRAME = Frame(np.zeros((480, 640, 3), np.uint8), 0, datetime.now(UTC), 12.0, 0.0)


def sent_ids(poses: Poses) -> list[int]:
    message = json.loads(encode_keypoints(Result(FRAME, poses, 1, "network"), "box"))
    return [person["id"] for person in message["persons"]]


def test_message_carries_ids_of_the_certain() -> None:
    """People are sent under their ids, a newcomer who is not certain is not sent; untracked ones by their place."""
    poses = crowd([Walker(0, 0), Walker(200, 0), Walker(400, 0)], 0)
    assert sent_ids(replace(poses, ids=np.array((7, 0, 3), np.int32))) == [7, 3]
    assert sent_ids(poses) == [0, 1, 2]


def test_ids_fit_the_people() -> None:
    """Poses with more or fewer ids than people cannot be made."""
    with pytest.raises(ValueError, match=r"wanted ids \(1,\), got \(2,\)"):
        replace(crowd([Walker(0, 0)], 0), ids=np.ones(2, np.int32))


def test_lossless_file_goes_by_its_own_clock(store: Store) -> None:
    """However fast a 10 fps file is read, its people move by tenths of a second; a camera's by the wall clock."""
    camera = Camera(source=str(store.clip("vtest")), pace="fast", lossless=True)
    with closing(open_source(camera, resolve_clip=Path, notify=lambda _event: None)) as source:
        frames = [source.read(5) for _ in range(4)]
    assert [frame.scene_s for frame in frames if frame is not None] == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert FRAME.scene_s == 12.0
