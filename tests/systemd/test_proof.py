"""The proof an installer asks for before a new version takes over."""

import sys
from pathlib import Path

from models.shelf.store import Store
from tests.system.process import DEMO, finished

CHECK = (sys.executable, "-m", "agent", "check-config", "--engine", DEMO)
SMALL = {"EDGEPOSE_MODEL__INPUT__LONG_SIDE": "128"}


def test_an_installation_that_works(store: Store) -> None:
    """With the network in place the check says what answers as it should."""
    done = finished(*CHECK, EDGEPOSE_PATHS__MODELS=str(store.folder), **SMALL)
    assert done.end() == 0
    assert done.out[-1] == "movenet-multipose FP32 answers as it should on CPU"


def test_an_installation_without_its_network(tmp_path: Path) -> None:
    """A network that is missing fails the check, with the cure."""
    done = finished(*CHECK, EDGEPOSE_PATHS__MODELS=str(tmp_path), **SMALL)
    assert done.end() == 1
    assert "models fetch movenet-multipose" in done.plain_errors
