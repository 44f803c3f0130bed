"""What these tests share. They run by `make test-node` alone, which gets the packages."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def packages() -> Path:
    """Have the packages."""
    if reason := os.environ.get("NODE_ABSENT"):
        pytest.skip(f"no npm packages: {reason}")
    if "NODE_PACKAGES" not in os.environ:
        pytest.skip("the packages are installed by make test-node")
    return Path(os.environ["NODE_PACKAGES"])
