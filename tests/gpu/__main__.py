"""Build the rig and run the tests on it in this process; arguments go to pytest."""

import os
import sys
from pathlib import Path

import pytest

from tests.gpu.rig import RigError, build


def main() -> int:
    """Answer pytest's exit code; where the rig cannot be built every test is skipped with the reason."""
    try:
        os.environ.update(build())
    except RigError as problem:
        os.environ["GPU_RIG_ABSENT"] = str(problem)
    return pytest.main([str(Path(__file__).parent), *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
