"""What the tests of the real GPU plugin share. They run by `make test-gpu` alone, which gives the machine a GPU."""

import os

import pytest

from agent.inference.devices import open_core
from models.shelf.store import Store
from tests.gpu.matrix import Bench
from tests.gpu.small import Small


@pytest.fixture(scope="session", autouse=True)
def _rig() -> None:
    """Have a GPU in this process."""
    if reason := os.environ.get("GPU_RIG_ABSENT"):
        pytest.skip(f"the GPU rig cannot be built here: {reason}")
    if "FAKEGPU_CACHE" not in os.environ:
        pytest.skip("a GPU needs a process of its own: make test-gpu")


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """Install the small network."""
    return Small(open_core({}), tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def bench(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Share the real network's engines: one cache for all tests."""
    return Bench(store, tmp_path_factory.mktemp("compiled"))
