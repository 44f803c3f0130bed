"""What the tests of the whole share."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from agent.wire.topics import Topics
from models.shelf.store import Store
from tests.broker import Broker

TOPICS = Topics("demo")


@pytest.fixture(scope="session", autouse=True)
def _fetched(store: Store) -> None:
    """Have the network and the clip: every test of this folder starts the agent on them."""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path) as running:
        yield running


@pytest.fixture(scope="session")
def ten_frames(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten frames of the clip with people in them, as a folder of images."""
    folder = tmp_path_factory.mktemp("frames")
    capture = cv2.VideoCapture(str(store.clip("vtest")))
    for number in range(10):
        done, picture = capture.read()
        assert done, f"the clip has no frame {number}"
        cv2.imwrite(str(folder / f"{number:03}.jpg"), picture)
    capture.release()
    return folder
