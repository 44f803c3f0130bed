"""What the tests in Home Assistant share. They run by `make test-homeassistant` alone, which installs it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.shelf.store import Store
from tests.broker import Broker


@pytest.fixture(scope="session", autouse=True)
def _installed(store: Store) -> None:
    """Have Home Assistant, the network and the clip."""
    if reason := os.environ.get("HOMEASSISTANT_ABSENT"):
        pytest.skip(f"Home Assistant cannot be installed here: {reason}")
    if "HOMEASSISTANT_PYTHON" not in os.environ:
        pytest.skip("Home Assistant is installed by make test-homeassistant")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path) as running:
        yield running
