"""What the tests of the real GPU plugin share. They run by `make test-gpu` alone, which gives the machine a GPU."""

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def _rig() -> None:
    """Have a GPU in this process."""
    if reason := os.environ.get("GPU_RIG_ABSENT"):
        pytest.skip(f"the GPU rig cannot be built here: {reason}")
    if "FAKEGPU_CACHE" not in os.environ:
        pytest.skip("a GPU needs a process of its own: make test-gpu")
